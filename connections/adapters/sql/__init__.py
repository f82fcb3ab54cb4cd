"""The family of SQL sources: one query model, one tokenizer for parameters, one way to preview."""
