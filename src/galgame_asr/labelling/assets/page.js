// The page to listen and correct. The server knows queue and decisions; this shows them.
import WaveSurfer from "./wavesurfer.js";

const SPEEDS = [0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 2];
const SAID = { keep: "Kept", text: "Corrected", drop: "Dropped" };
const STEP_S = 0.5;
const KEPT_CLIPS = 8;
const MOST_UNDONE = 1000;

const $ = (selector) => document.querySelector(selector);
const { corpus } = document.body.dataset;
const root = document.documentElement;

let view = null; // what is shown, as the server gave it
let isBusy = false; // what is shown is about to change: no decision can be made of it
let looks = 0; // asked for so far; an answer that comes late is none

// What a browser keeps; where it may not, it lasts as long as the page.
function stored(storage, key, value) {
  try {
    if (value === undefined) return storage().getItem(key);
    if (value === null) storage().removeItem(key);
    else storage().setItem(key, value);
  } catch {}
  return null;
}
const local = (key, value) => stored(() => localStorage, key, value);
const ofTab = (key, value) => stored(() => sessionStorage, key, value);

function element(tag, properties = {}, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const hidden = (text) => element("span", { className: "hidden", textContent: text });

// A run of equal text, or [label, proposal]. Without colours, the hidden words say which is which.
function spanNodes(span) {
  if (typeof span === "string") return [span];
  const [label, proposal] = span;
  const gone = (more) => element("del", { textContent: label, ...more });
  const come = (more) => element("ins", { textContent: proposal, ...more });
  if (!proposal) return [hidden(" [only in the label: "), gone({ className: "alone" }), hidden("] ")];
  if (!label) return [hidden(" [only in the proposal: "), come({ className: "alone" }), hidden("] ")];
  return [hidden(" [label "), gone(), hidden(" proposal "), come(), hidden("] ")];
}

// The server

async function ask(what, sent) {
  let response;
  try {
    const headers = { "Content-Type": "application/json" };
    response = await fetch(what, { method: "POST", headers, body: JSON.stringify(sent) });
  } catch {
    return tell(
      "The server does not answer. Start the command again and open the address that it prints: " +
        "all decisions are in the file, and the text you began is kept here.",
    );
  }
  if (response.status === 403) return tell("The server was started anew: open the address that it printed.");
  if (![200, 409, 422].includes(response.status)) return tell(`The server failed (${response.status}); its terminal says why.`);
  const answer = await response.json();
  tell(answer.error ?? "");
  return answer;
}

function tell(trouble) {
  $("#trouble").textContent = trouble;
  return null;
}

const among = () => ({ show: $("#show").value, tag: $("#tag").value, search: $("#search").value });

async function look(id, { match = false, said = "" } = {}) {
  const asked = ++looks;
  setBusy(true);
  const answer = await ask("look", { id, match, among: among() });
  if (asked !== looks) return;
  setBusy(false);
  if (answer?.view) show(answer.view, said);
}

// One decision at a time: a key that comes before the next utterance shows is of none.
async function decide(what, text) {
  if (isBusy || !view?.item) return;
  setBusy(true);
  const { id } = view.item;
  const why = $("#why").value;
  const answer = await ask("decide", { id, what, text, why, seen: view.decision, among: among() });
  setBusy(false);
  if (!answer?.made) {
    if (answer?.view) show(answer.view);
    return;
  }
  remember([...undoable(), { id, made: answer.made }]);
  local(draftOf(id), null);
  leave();
  show(answer.view, `${SAID[answer.made.what]}.${answer.is_last ? " Nothing is left." : ""}`);
}

async function undo() {
  const decided = undoable();
  if (isBusy) return;
  if (!decided.length) return say("This tab has decided nothing that could be undone.");
  setBusy(true);
  const answer = await ask("undo", { ...decided.at(-1), among: among() });
  setBusy(false);
  if (!answer) return;
  remember(decided.slice(0, -1));
  if (!answer.error) {
    local(draftOf(answer.view.item.id), null);
    leave();
  }
  if (answer.view) show(answer.view, answer.error ? "" : "Undone.");
}

const undoable = () => JSON.parse(ofTab(`undo ${corpus}`) ?? "[]");
const remember = (decided) => ofTab(`undo ${corpus}`, JSON.stringify(decided.slice(-MOST_UNDONE)));

function setBusy(now) {
  isBusy = now;
  $(".utterance").setAttribute("aria-busy", now);
}

// What is shown

const draftOf = (id) => `draft ${corpus} ${id}`;
const current = () => (view.decision?.what === "text" ? view.decision.text : view.item.label);

function show(found, said = "") {
  const before = view?.item?.id;
  view = found;
  showProgress();
  const { item, decision } = view;
  $(".utterance").hidden = !item;
  if (!item) {
    wave.pause();
    return say(`${said} Nothing matches.`);
  }
  const nth = view.nth ? `${view.nth} of ${view.matching}` : `not among the ${view.matching} shown`;
  $("#utterance").textContent = `Utterance ${nth}`;
  $("#facts").textContent = [`${item.duration_s.toFixed(1)} s`, item.note].filter(Boolean).join(" · ");
  $("#id").textContent = item.id;
  $("#tags").replaceChildren(
    ...item.tags.flatMap((tag) => [element("span", { className: "tag flag", textContent: tag }), " "]),
  );
  $("#texts").replaceChildren(...texts(item, decision));
  if (item.id !== before) $("#why").value = "";
  $("#text").value = local(draftOf(item.id)) ?? current();
  nameAccept();
  $("#take").disabled = item.proposal === null;
  $("#back").disabled = view.previous === null;
  $("#next").disabled = view.next === null;
  keepPlace();
  const proposed = item.proposal === null ? "" : ` Proposal: ${item.proposal}`;
  say(said, ` Utterance ${nth}. Label: ${current()}.${proposed}`);
  if (item.id !== before) load(item.id);
  if (view.next !== null) clip(view.next).catch(() => {});
}

function texts(item, decision) {
  const line = (name, children, properties = { lang: "ja" }) => [
    element("dt", { textContent: name }),
    element("dd", properties, children),
  ];
  const none = [["there is none"], { className: "quiet" }];
  const lines = [
    ...(item.proposal === null ? [] : line("Difference", item.difference.flatMap(spanNodes))),
    ...line("Label", [item.label]),
    ...line("Proposal", ...(item.proposal === null ? none : [[item.proposal || "–"]])),
  ];
  if (decision) {
    const how = `${SAID[decision.what]} by ${decision.by}, ${decision.when}, ${decision.why}`;
    const text = decision.what === "text" ? [decision.text] : [];
    lines.push(...line("Decided", [...text, element("small", { className: "quiet", lang: "en", textContent: how })]));
  }
  return lines;
}

function showProgress() {
  const { keep, text, drop } = view.counts;
  const decided = keep + text + drop;
  $("#progress").max = Math.max(view.total, 1);
  $("#progress").value = decided;
  $("#counts").textContent = `${decided} of ${view.total} decided: ${keep} kept, ${text} corrected, ${drop} dropped`;
}

function say(seen, heard = "") {
  $("#said").replaceChildren(seen, hidden(heard));
}

// A changed text would be saved by what otherwise keeps the label.
function nameAccept() {
  const isChanged = $("#text").value !== current();
  const name = isChanged ? "Save the text" : view.decision ? "Leave as it is" : "Keep";
  $("#accept span").textContent = name;
}

// The address names utterance and filter, so that a reload comes back to them.
function keepPlace() {
  const place = new URLSearchParams({ id: view.item.id, ...among() });
  history.replaceState(null, "", `?${place}`);
}

// Sound

const speed = { at: SPEEDS.indexOf(1) };
const clips = new Map();
const wave = WaveSurfer.create({
  container: "#wave", height: 96, normalize: true, dragToSeek: true, cursorWidth: 2,
  cspNonce: $("#script").nonce, ...colours(),
});

// wavesurfer draws on a canvas, which knows no custom properties.
function colours() {
  const style = getComputedStyle($("#wave"));
  const [waveColor, progressColor] = [style.color, style.borderTopColor];
  return { waveColor, progressColor, cursorColor: progressColor };
}

function clip(id) {
  if (!clips.has(id)) {
    const found = fetch(`audio?${new URLSearchParams({ id })}`).then(async (response) => {
      if (response.ok) return response.blob();
      throw new Error((await response.json()).error);
    });
    found.catch(() => clips.delete(id));
    clips.set(id, found);
    if (clips.size > KEPT_CLIPS) clips.delete(clips.keys().next().value);
  }
  return clips.get(id);
}

async function load(id) {
  wave.pause();
  try {
    const found = await clip(id);
    if (view.item?.id !== id) return;
    await wave.loadBlob(found);
    setSpeed(0);
    if (view.item?.id === id && $("#at-once").checked) await start();
  } catch (error) {
    if (view.item?.id !== id) return;
    wave.empty();
    tell(`No sound: ${error.message}`);
  }
}

// A browser lets a page make no sound before its reader has pressed anything.
const start = () => wave.play().catch(() => {});
const play = () => (wave.isPlaying() ? wave.pause() : start());

function setSpeed(by) {
  speed.at = Math.min(Math.max(speed.at + by, 0), SPEEDS.length - 1);
  wave.setPlaybackRate(SPEEDS[speed.at], true);
  $("#speed").textContent = SPEEDS[speed.at];
  $("#slower").disabled = speed.at === 0;
  $("#faster").disabled = speed.at === SPEEDS.length - 1;
  if (by) local("speed", speed.at);
}

function setLoop(isOn) {
  wave.getMediaElement().loop = isOn;
  $("#loop").setAttribute("aria-pressed", isOn);
  local("loop", isOn ? "on" : null);
}

function seek(by) {
  wave.setTime(Math.min(Math.max(wave.getCurrentTime() + by, 0), wave.getDuration()));
}

function showTime() {
  $("#time").textContent = `${wave.getCurrentTime().toFixed(1)} of ${wave.getDuration().toFixed(1)} s`;
}

// What a person does

// Save what the field says; of a label that was not changed that is to keep it.
function accept({ isDropTakenBack = false } = {}) {
  if (!view?.item || isBusy) return undefined;
  const text = $("#text").value;
  const isDecided = view.decision && !(isDropTakenBack && view.decision.what === "drop");
  if (isDecided && text === current()) return go(view.next, "As decided.");
  if (!text.trim()) return tell("The text is empty: drop the utterance instead.");
  return decide("text", text);
}

function take() {
  if (view?.item?.proposal == null) return say("There is no proposal.");
  return decide("text", view.item.proposal);
}

function go(id, said = "") {
  if (isBusy) return undefined;
  if (id === null || id === undefined) return say("There is none in that direction.");
  leave();
  return look(id, { said });
}

function edit() {
  const field = $("#text");
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

// Out of fields, where keys are letters, and off buttons, which Enter would press once more.
function leave() {
  $("#utterance").focus({ preventScroll: true });
}

const ACTIONS = {
  play, accept, take, edit, undo,
  loop: () => setLoop(!wave.getMediaElement().loop),
  slower: () => setSpeed(-1),
  faster: () => setSpeed(1),
  drop: () => decide("drop", ""),
  back: () => go(view?.previous),
  next: () => go(view?.next),
};
const KEYS = {
  p: play, " ": play, l: ACTIONS.loop, s: ACTIONS.slower, f: ACTIONS.faster,
  enter: accept, k: accept, t: take, e: edit, d: ACTIONS.drop, u: undo,
  b: ACTIONS.back, n: ACTIONS.next,
  w: () => $("#why").focus(),
  "/": () => $("#search").focus(),
  "?": () => { $("#help").open = !$("#help").open; },
  arrowleft: () => seek(-STEP_S),
  arrowright: () => seek(STEP_S),
};
const NATIVE = [" ", "enter", "arrowleft", "arrowright"]; // of buttons and the like

function onKey(event) {
  // While an input method composes, Enter takes its proposal; 229 is what Safari then says.
  if (event.isComposing || event.keyCode === 229 || event.ctrlKey || event.metaKey) return;
  const { target, altKey } = event;
  const inField = target.matches("textarea, select, input:not([type=checkbox], [type=radio])");
  // With Alt some keyboards write other letters.
  const key = altKey && event.code.startsWith("Key") ? event.code.slice(3).toLowerCase() : event.key.toLowerCase();
  if (inField && !altKey) {
    if (key === "escape") leave();
    else if (key === "enter" && target.id === "text") accept({ isDropTakenBack: true });
    else if (key === "enter" && target.matches("input")) leave();
    else return;
    event.preventDefault();
    return;
  }
  if (!Object.hasOwn(KEYS, key) || (!altKey && !$("#single").checked)) return;
  if (NATIVE.includes(key) && (key.startsWith("arrow") ? altKey || target.matches("input") : target.closest("button, summary, a, input"))) return;
  event.preventDefault();
  if (!event.repeat || key.startsWith("arrow")) KEYS[key]();
}

// Beginning

function startTheme() {
  const set = (theme) => {
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    wave.setOptions(colours());
  };
  const theme = local("theme") ?? "";
  for (const radio of document.querySelectorAll("[name=theme]")) {
    radio.checked = radio.value === theme;
    radio.addEventListener("change", () => {
      set(radio.value);
      local("theme", radio.value);
    });
  }
  set(theme);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => wave.setOptions(colours()));
}

function startSettings() {
  const size = $("#size");
  const grow = () => { root.style.fontSize = `${size.value}%`; };
  size.value = local("size") ?? "100";
  size.addEventListener("change", () => {
    grow();
    local("size", size.value);
  });
  grow();
  for (const box of [$("#at-once"), $("#single")]) {
    box.checked = local(box.id) !== "off";
    box.addEventListener("change", () => local(box.id, box.checked ? null : "off"));
  }
  speed.at = Number(local("speed") ?? speed.at);
  setSpeed(0);
  setLoop(local("loop") === "on");
}

function startFilters(asked) {
  for (const name of ["show", "tag", "search"]) {
    const control = $(`#${name}`);
    control.value = asked.get(name) ?? control.value;
    if (!control.value && control.matches("select")) control.selectedIndex = 0;
    control.addEventListener("input", (event) => {
      if (!event.isComposing) look(view?.item?.id ?? null, { match: true });
    });
    control.addEventListener("compositionend", () => look(view?.item?.id ?? null, { match: true }));
  }
  for (const form of document.forms) form.addEventListener("submit", (event) => event.preventDefault());
}

function startUtterance() {
  for (const [name, act] of Object.entries(ACTIONS)) $(`#${name}`).addEventListener("click", () => act());
  $("#text").addEventListener("input", () => {
    const { value } = $("#text");
    local(draftOf(view.item.id), value === current() ? null : value);
    nameAccept();
  });
  wave.on("timeupdate", showTime);
  wave.on("ready", showTime);
  wave.on("play", () => { $("#play").firstChild.textContent = "Stop "; });
  wave.on("pause", () => { $("#play").firstChild.textContent = "Play "; });
  document.addEventListener("keydown", onKey);
  // Other tabs may have decided meanwhile.
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !isBusy && view?.item) look(view.item.id);
  });
}

const asked = new URLSearchParams(location.search);
startSettings();
startTheme();
startFilters(asked);
startUtterance();
look(asked.get("id"), { match: true });
