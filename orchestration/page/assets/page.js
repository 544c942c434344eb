// Puts the tiles that the server sends into the page, and counts ages on. It asks for nothing by itself.
"use strict";
const content = document.getElementById("content");
const tiles = document.getElementById("tiles");
const age = document.getElementById("age");
let source = null, heard = 0, waiting = new Map();

function busy(element) {  // somebody marks text, or writes, in it
  const chosen = document.getSelection();
  return (chosen && !chosen.isCollapsed && element.contains(chosen.anchorNode)) ||
    (element.contains(document.activeElement) && /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName));
}

function replace(element, html) {
  const links = () => [...element.querySelectorAll("a, button, summary, [tabindex]")];
  const focused = links().indexOf(document.activeElement);
  const open = [...element.querySelectorAll("details")].map((each) => each.open);
  const places = [...element.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]);
  element.innerHTML = html;
  element.querySelectorAll("details").forEach((each, at) => { if (open[at]) each.open = true; });
  element.querySelectorAll(".scroll").forEach((each, at) => { if (places[at]) each.scrollTo(...places[at]); });
  if (focused >= 0 && links()[focused]) links()[focused].focus({ preventScroll: true });
}

function put(name, html) {
  if (name === "state") return replace(document.getElementById("state"), html);
  const element = document.getElementById("tile-" + name);
  if (busy(element)) waiting.set(name, html);
  else { waiting.delete(name); replace(element, html); }
}

function take({ order, tiles: sent }) {
  const names = order.filter((name) => name !== "state");
  if (names.length || tiles.querySelector(".place")) {
    const known = new Set(names.map((name) => "tile-" + name));
    for (const child of [...tiles.children]) if (!known.has(child.id)) child.remove();
  }
  names.forEach((name, at) => {
    let place = document.getElementById("tile-" + name);
    if (!place) { place = document.createElement("div"); place.id = "tile-" + name; place.className = "place"; }
    if (tiles.children[at] !== place) tiles.insertBefore(place, tiles.children[at] || null);
  });
  for (const [name, html] of Object.entries(sent)) put(name, html);
  tick();
}

function since(seconds) {
  for (const [limit, unit, name] of [[120, 1, "s"], [7200, 60, "min"], [172800, 3600, "h"]])
    if (seconds < limit) return Math.round(seconds / unit) + name + " ago";
  return Math.round(seconds / 86400) + "d ago";
}

function tick() {
  const now = Date.now();
  for (const each of document.querySelectorAll("time[datetime]")) {
    const text = since(Math.max(0, (now - Date.parse(each.dateTime)) / 1000));
    if (each.textContent !== text) each.textContent = text;
  }
  for (const [name, html] of waiting) put(name, html);
  const lost = !source || source.readyState !== EventSource.OPEN;
  age.textContent = lost && heard ? "no connection, as of " + since((now - heard) / 1000) : "";
  document.body.classList.toggle("stale", Boolean(lost && heard));
}

function follow() {
  if (source) return;
  source = new EventSource("/live?" + new URLSearchParams({ view: content.dataset.view, of: content.dataset.of }));
  source.addEventListener("tiles", (event) => { heard = Date.now(); take(JSON.parse(event.data)); });
  source.addEventListener("open", () => { heard = Date.now(); });
  source.addEventListener("error", () => {  // a refusal ends the source for good: try again later
    if (source.readyState === EventSource.CLOSED) { source = null; setTimeout(follow, 5000); }
  });
}

const form = document.getElementById("ask");
if (form) {
  const sql = document.getElementById("sql"), said = document.getElementById("said");
  sql.value = sessionStorage.getItem("sql") || sql.value;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    sessionStorage.setItem("sql", sql.value);
    said.textContent = "asking …";
    const body = JSON.stringify({ sql: sql.value, limit: Number(document.getElementById("limit").value) });
    try {
      const answer = await fetch("/ask", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      document.getElementById("answer").innerHTML = await answer.text();
      said.textContent = "";
    } catch { said.textContent = "The page's server does not answer."; }
  });
  sql.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
}

const sure = document.getElementById("sure");
if (sure) {
  const part = (name) => document.getElementById("sure-" + name);
  let asked = null;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.act");
    if (!button) return;
    asked = { action: button.dataset.action, of: button.dataset.of, item: button.dataset.item };
    part("question").textContent = button.dataset.question;
    part("command").textContent = button.dataset.command;
    part("why").hidden = !("note" in button.dataset);
    part("note").required = !part("why").hidden;
    part("note").value = part("said").textContent = "";
    part("yes").hidden = false;
    part("yes").disabled = false;
    part("no").textContent = "Cancel";
    sure.showModal();
    (part("why").hidden ? part("no") : part("note")).focus();
  });
  part("no").addEventListener("click", () => sure.close());
  sure.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    part("yes").disabled = true;
    part("said").textContent = "working …";
    const body = JSON.stringify({ ...asked, note: part("why").hidden ? "" : part("note").value });
    try {
      const answer = await fetch("/act", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      part("said").textContent = await answer.text();
      part("said").className = answer.ok ? "good" : "bad";
      part("yes").hidden = answer.ok;
    } catch { part("said").textContent = "The page's server does not answer."; }
    part("yes").disabled = false;
    part("no").textContent = "Close";
  });
}

// A hidden page holds no connection: a browser has few of them for each server.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") follow();
  else if (source) { source.close(); source = null; heard = 0; }
});
setInterval(tick, 1000);
if (document.visibilityState === "visible") follow();
