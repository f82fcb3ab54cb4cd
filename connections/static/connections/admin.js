// What the admin's pages do beyond plain HTML. Without this file every one of them works by whole pages.
"use strict";

/** Replace the children of `place` by a part of a page that the server rendered. */
function show(place, html) {
  place.innerHTML = html;
  addPointers(place);
}

function say(place, text) {
  const line = document.createElement("p");
  line.className = "notice notice-failed";
  line.textContent = text;
  place.replaceChildren(line);
}

/** Send a form; give the part of a page that answers it: 409 says that it is another organisation's. Throws when there is none. */
async function sent(url, body, options = {}) {
  const response = await fetch(url, {
    method: "POST",
    credentials: "same-origin",
    body,
    signal: options.signal,
    headers: { "X-Fragment": "1", ...options.headers },
  });
  if ((!response.ok && response.status !== 409) || response.redirected) throw new Error(String(response.status));
  return response.text();
}

/** Run `work` while `button` says that it is busy. */
async function busy(button, work) {
  const words = button.textContent;
  button.disabled = true;
  if (button.dataset.busy) button.textContent = button.dataset.busy;
  try {
    await work();
  } finally {
    button.disabled = false;
    button.textContent = words;
  }
}

// Pointing at inputs -----------------------------------------------------------------------------------------------

/** The input that a pointer is about: its place in the settings, or "#" and its id. A parameter is among all of them. */
function inputFor(pointer) {
  if (pointer.startsWith("#")) return document.getElementById(pointer.slice(1));
  if (pointer.startsWith("/parameters/")) return document.querySelector('[data-pointer="/parameters"]');
  const found = [...document.querySelectorAll("[data-pointer]")].filter((input) => input.dataset.pointer === pointer);
  return found.find((input) => !input.closest("[hidden]")) ?? found.find((input) => input.closest("[data-secret]"));
}

function goTo(input) {
  input.closest("details")?.setAttribute("open", "");
  input.closest("[data-secret]")?.dispatchEvent(new CustomEvent("settings:replace"));
  const inputs = input.matches("input, select, textarea") ? [input] : [...input.querySelectorAll("input, select, textarea")];
  const target = inputs.find((found) => found.value === "") ?? inputs[0];
  (target ?? input).focus();
}

/** What says which input it is about becomes a link to it. */
function addPointers(place) {
  for (const element of place.querySelectorAll("[data-points-at]")) {
    const input = inputFor(element.dataset.pointsAt);
    if (!input) continue;
    const isLine = element.matches("li");
    const label = input.dataset.label ?? input.labels?.[0]?.textContent?.replace(/:\s*$/, "");
    const words = isLine ? element.textContent : label;
    const link = document.createElement("button");
    link.type = "button";
    link.className = "show-me";
    link.textContent = words || "⤷";
    link.addEventListener("click", () => goTo(input));
    if (isLine) element.replaceChildren(link);
    else element.querySelector(".outcome-message")?.append(" ", link);
  }
}

/** After a failed test: to the input that most likely needs a change, else to the outcome. */
function focusFailure(place) {
  const pointer = place.querySelector("[data-points-at]")?.dataset.pointsAt;
  const input = pointer && inputFor(pointer);
  if (input) goTo(input);
  else place.focus();
}

// The form of a connection -----------------------------------------------------------------------------------------

function prepareConnectionForm(form) {
  const place = form.querySelector("[data-test-outcome]");
  const button = form.querySelector("[data-test]");
  if (!button) return;
  button.addEventListener("click", (event) => {
    event.preventDefault();
    place.replaceChildren();
    busy(button, async () => {
      try {
        show(place, await sent(form.dataset.testUrl, new FormData(form)));
        if (place.querySelector(".outcome-failed")) focusFailure(place);
      } catch {
        say(place, button.dataset.lost);
      }
    });
  });
}

// The preview ------------------------------------------------------------------------------------------------------

function prepareQueryForm(form) {
  const place = document.querySelector("[data-results]");
  const run = form.querySelector("[data-run]");
  const cancel = form.querySelector("[data-cancel]");
  let job = null;

  const start = (submitter) => {
    if (job) return;
    const id = crypto.randomUUID?.() ?? `web-${Date.now()}-${Math.random().toString(36).slice(2)}`;
    const stop = new AbortController();
    job = { id, stop };
    cancel.hidden = false;
    busy(run, async () => {
      try {
        const body = new FormData(form, submitter?.name === "offset" ? submitter : undefined);
        show(place, await sent(form.action, body, { signal: stop.signal, headers: { "X-Request-ID": id } }));
      } catch {
        say(place, stop.signal.aborted ? form.dataset.cancelled : form.dataset.lost);
      } finally {
        job = null;
        cancel.hidden = true;
      }
    });
  };

  form.addEventListener("submit", (event) => {
    const submitter = event.submitter;
    if (submitter && "native" in submitter.dataset) return;
    event.preventDefault();
    if (submitter && "table" in submitter.dataset) chooseTable(form, JSON.parse(submitter.value));
    start(submitter);
  });
  cancel.addEventListener("click", () => {
    if (!job) return;
    const { id, stop } = job;
    sent(form.dataset.cancelUrl.replace("REQUEST", id), new FormData(form), { headers: {} }).catch(() => {});
    stop.abort();
  });
  // A text that is typed takes the place of the table that was chosen, as a table does of the text.
  const inputs = [...form.querySelectorAll("[data-pointer]")];
  const sql = inputs.find((input) => input.dataset.pointer === "/query/sql");
  const table = inputs.find((input) => input.dataset.pointer === "/query/table");
  sql?.addEventListener("input", () => {
    if (sql.value.trim()) table?.dispatchEvent(new CustomEvent("settings:fill", { detail: [] }));
  });
  prepareParameters(form);
}

/** Make the query one of this table: fill its input, and empty the others that would contradict it. */
function chooseTable(form, path) {
  for (const input of form.querySelectorAll("[data-pointer]")) {
    if (input.dataset.pointer === "/query/table") {
      input.dispatchEvent(new CustomEvent("settings:fill", { detail: path.map((part) => [part]) }));
    } else if (["/query/sql", "/query/pattern", "/query/sheet"].includes(input.dataset.pointer)) {
      input.value = "";
    }
  }
}

function prepareParameters(form) {
  const button = form.querySelector("[data-add-parameter]");
  const body = form.querySelector("[data-parameters]");
  if (!button || !body) return;
  button.hidden = false;
  button.addEventListener("click", () => {
    const row = body.rows[body.rows.length - 1].cloneNode(true);
    for (const input of row.querySelectorAll("input")) input.value = "";
    body.append(row);
    row.querySelector("input").focus();
  });
}

function prepareTables(form) {
  const place = document.querySelector("[data-tables]");
  const button = form.querySelector("button");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(button, async () => {
      try {
        show(place, await sent(form.dataset.tablesUrl, new FormData(form)));
      } catch {
        say(place, form.dataset.lost);
      }
    });
  });
}

// Choosing a source ------------------------------------------------------------------------------------------------

function prepareChoosing(page) {
  const search = page.querySelector("[data-choose-search]");
  const none = page.querySelector("[data-choose-none]");
  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const card of page.querySelectorAll("[data-card]")) {
      card.hidden = !words.every((word) => card.dataset.card.includes(word));
    }
    for (const shelf of page.querySelectorAll("[data-shelf]")) {
      shelf.hidden = !shelf.querySelector("[data-card]:not([hidden])");
    }
    none.hidden = Boolean(page.querySelector("[data-card]:not([hidden])"));
  };
  search.addEventListener("input", apply);
  apply(); // for what was typed before this script ran
}

// Copying a key ----------------------------------------------------------------------------------------------------

function prepareCopying(button) {
  if (!navigator.clipboard) return; // a page over plain http
  button.hidden = false;
  button.addEventListener("click", async () => {
    const input = document.getElementById(button.dataset.copy);
    input.select();
    await navigator.clipboard.writeText(input.value);
    button.textContent = button.dataset.copied;
  });
}

document.querySelectorAll("[data-copy]").forEach(prepareCopying);
document.querySelectorAll("[data-choose]").forEach(prepareChoosing);
document.querySelectorAll("[data-connection-form]").forEach(prepareConnectionForm);
document.querySelectorAll("[data-query-form]").forEach(prepareQueryForm);
document.querySelectorAll("[data-tables-form]").forEach(prepareTables);
document.querySelectorAll("[data-select-all]").forEach((input) => {
  input.addEventListener("focus", () => input.select());
});
addPointers(document);
