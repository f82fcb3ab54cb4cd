# The commands of the project. Each is a script of the same name in scripts/.
# PYTHON chooses the interpreter (3.11 or later); HOST and PORT where `make run` serves.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
export PYTHON HOST PORT

.PHONY: help run test check bench lock audit sbom env clean

help:  ## Show this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

run:  ## Serve the catalogue with its demo on http://HOST:PORT, until Ctrl-C
	@exec scripts/run

test:  ## Install what the tests need and run them; ARGS goes to pytest
	@exec scripts/test $(ARGS)

check:  ## Lint, types, import contracts, migrations, deployment checks, stale pages
	@exec scripts/check

bench:  ## Measure beside the raw driver; ARGS goes to the benchmarks
	@exec scripts/bench $(ARGS)

lock: env  ## Compile requirements/*.in anew; ARGS=--upgrade moves the versions
	@exec scripts/lock $(ARGS)

audit: env  ## Ask a database elsewhere about known weaknesses of the packages of the lock
	@exec .venv/bin/python -m scripts.audit

sbom: env  ## Write what the catalogue is made of to dist: CycloneDX, and a list of licences
	@exec .venv/bin/python -m scripts.sbom

env:  ## Create .venv with everything that developing needs
	@exec scripts/env dev

clean:  ## Remove the environment, the caches, the demo and its data
	@exec scripts/clean
