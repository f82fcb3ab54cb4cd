// What the settings form does beyond plain HTML. Without this file everything is visible and can be saved.
"use strict";

const ROOT = "[data-connection-settings]";

/** Show the groups that a checkbox or select has chosen; disabled groups are neither checked nor sent. */
function showChosen(root, control) {
  for (const group of root.querySelectorAll("[data-shown-by]")) {
    if (group.dataset.shownBy !== control.name) continue;
    const wanted = control.type === "checkbox" ? control.checked : control.value === group.dataset.shownFor;
    group.hidden = !wanted;
    group.disabled = !wanted;
  }
}

function prepareGroups(root) {
  for (const input of root.querySelectorAll("[data-required]")) input.required = true;
  const names = new Set([...root.querySelectorAll("[data-shown-by]")].map((group) => group.dataset.shownBy));
  for (const control of root.querySelectorAll("select, input[type=checkbox]")) {
    if (!names.has(control.name)) continue;
    control.addEventListener("change", () => showChosen(root, control));
    showChosen(root, control);
  }
  // A browser cannot point at an input inside a folded section.
  root.addEventListener("invalid", (event) => event.target.closest("details")?.setAttribute("open", ""), true);
}

/** The entry of a stored secret shows when it is to be replaced, and typing into it means that. */
function prepareSecret(secret) {
  const entry = secret.querySelector("[data-secret-entry]");
  const actions = [...secret.querySelectorAll("input[type=radio]")];
  if (!actions.length) return;
  const show = () => {
    const replacing = actions.some((action) => action.checked && action.value === "replace");
    entry.hidden = !replacing;
    for (const input of entry.querySelectorAll("input, textarea")) {
      input.disabled = !replacing;
    }
  };
  for (const action of actions) {
    action.addEventListener("change", () => {
      show();
      if (action.value === "replace") entry.querySelector("input, textarea").focus();
    });
  }
  secret.addEventListener("settings:replace", () => {
    actions.find((action) => action.value === "replace").checked = true;
    show();
  });
  show();
}

function prepareRows(table) {
  const body = table.querySelector("[data-rows-body]");
  const blank = table.querySelector("template").content.firstElementChild;
  const isBlank = (row) => [...row.querySelectorAll("input, select, textarea")].every((input) => input.value === "");
  const add = () => {
    const row = document.importNode(blank, true);
    body.append(row);
    return arm(row);
  };
  const arm = (row) => {
    const remove = row.querySelector("[data-row-remove]");
    remove.hidden = false;
    remove.addEventListener("click", () => {
      row.remove();
      (body.querySelector("input, select, textarea") ?? table.querySelector("[data-rows-add]")).focus();
    });
    return row;
  };
  for (const row of [...body.children]) {
    if (isBlank(row)) row.remove();
    else arm(row);
  }
  body.replaceChildren(...body.children); // without white space, so that :empty says whether there are rows
  const button = table.querySelector("[data-rows-add]");
  button.hidden = false;
  button.addEventListener("click", () => add().querySelector("input, select, textarea").focus());
  table.addEventListener("settings:fill", (event) => {
    body.replaceChildren();
    for (const cells of event.detail) {
      const inputs = add().querySelectorAll("input, select, textarea");
      cells.forEach((cell, position) => { inputs[position].value = String(cell); });
    }
  });
}

// Filling from a URL -------------------------------------------------------------------------------------------

/** The input of a setting, of several branches' the one that counts. */
function inputAt(root, pointer) {
  const found = [...root.querySelectorAll("[data-pointer]")].filter((input) => input.dataset.pointer === pointer);
  return found.find((input) => !input.matches(":disabled") || input.closest("[data-secret]")) ?? found[0];
}

function step(path, name) {
  return `${path}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
}

function setValue(input, value) {
  if (input.matches("[data-rows]")) {
    const rows = Array.isArray(value) ? value.map((item) => [item]) : Object.entries(value);
    input.dispatchEvent(new CustomEvent("settings:fill", { detail: rows }));
    return;
  }
  if (input.type === "checkbox") input.checked = Boolean(value);
  else input.value = String(value);
  input.closest("details")?.setAttribute("open", "");
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

/** Put nested settings into their inputs. What chooses a group comes before what is inside it. */
function fill(root, settings, path) {
  const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  const order = ([name, value]) => (isObject(value) ? 2 : inputAt(root, step(path, name))?.matches("select") ? 0 : 1);
  const entries = Object.entries(settings).sort((one, other) => order(one) - order(other));
  for (const [name, value] of entries) {
    const pointer = step(path, name);
    const input = inputAt(root, pointer);
    if (isObject(value) && !input?.matches("[data-rows]")) {
      if (input?.type === "checkbox") setValue(input, true);
      fill(root, value, pointer);
    } else if (input && value !== null) {
      setValue(input, value);
    }
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A secret's value out of the URL's own text: the password before the host, or an option of that name. */
function secretIn(url, name) {
  const authority = url.replace(/^[^:]+:\/\//, "").split(/[/?#]/, 1)[0];
  const login = authority.includes("@") ? authority.slice(0, authority.lastIndexOf("@")) : "";
  const option = new RegExp(`[?&]${name.replace(/[^A-Za-z0-9_]/g, "")}=([^&#]*)`).exec(url);
  if (option) return decoded(option[1].replaceAll("+", " "));
  return login.includes(":") ? decoded(login.slice(login.indexOf(":") + 1)) : "";
}

function fillSecret(root, url, dotted) {
  const names = dotted.replace(/^\//, "").split(/[./]/);
  const value = secretIn(url, names.at(-1));
  const input = inputAt(root, names.reduce(step, "/secrets"));
  if (!value || !input) return;
  input.closest("[data-secret]").dispatchEvent(new CustomEvent("settings:replace"));
  input.value = value;
}

async function parsed(root, url) {
  const hidden = (name) => root.closest("form").querySelector(`input[name=${name}]`)?.value ?? "";
  const response = await fetch(root.dataset.parseUrl, {
    method: "POST",
    credentials: "same-origin",
    headers: {
      "Content-Type": "application/json",
      Accept: "application/json",
      "X-CSRFToken": hidden("csrfmiddlewaretoken"),
      "X-Page-Organisation": hidden("page_organisation"),
    },
    body: JSON.stringify({ url }),
    signal: AbortSignal.timeout(15000),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.errors?.[0]?.detail ?? answer.detail ?? "");
  return answer;
}

function prepareUrl(root) {
  const input = root.querySelector("[data-url]");
  const button = root.querySelector("[data-fill]");
  if (!input || !button || !root.dataset.parseUrl) return;
  const outcome = root.querySelector("[data-outcome]");
  const say = (text, failed) => {
    outcome.textContent = text;
    outcome.classList.toggle("setting-outcome-failed", failed);
  };
  const run = async () => {
    const url = input.value.trim();
    if (!url) return;
    button.disabled = true;
    try {
      const answer = await parsed(root, url);
      fill(root, answer.config, "/config");
      for (const name of answer.secrets) fillSecret(root, url, name);
      input.value = "";
      say(button.dataset.filled, false);
    } catch (error) {
      say((error.name === "Error" && error.message) || button.dataset.failed, true);
    } finally {
      button.disabled = false;
    }
  };
  button.type = "button";
  button.addEventListener("click", run);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    run();
  });
}

for (const root of document.querySelectorAll(ROOT)) {
  root.classList.add("connection-settings-live");
  prepareGroups(root);
  root.querySelectorAll("[data-secret]").forEach(prepareSecret);
  root.querySelectorAll("[data-rows]").forEach(prepareRows);
  prepareUrl(root);
}
