// The report page: themes, the variant shown in detail, and the list of utterances.
"use strict";

const PAGE_SIZE = 20;
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (selector) => document.querySelector(selector);

// Storage may be forbidden; then a theme lasts as long as the page.
function stored(value) {
  try {
    if (value === undefined) return localStorage.getItem("theme") ?? "";
    localStorage.setItem("theme", value);
  } catch {}
  return "";
}

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

function startThemes() {
  const theme = stored();
  for (const radio of document.querySelectorAll("[name=theme]")) {
    radio.checked = radio.value === theme;
    radio.addEventListener("change", () => {
      setTheme(radio.value);
      stored(radio.value);
    });
  }
  setTheme(theme);
  $(".theme").hidden = false;
}

function element(tag, properties = {}, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const hidden = (text) => element("span", { className: "hidden", textContent: text });
const quiet = (text) => element("span", { className: "quiet", textContent: text });

// A run of equal text, or [reference, transcript]. Without colours, the marks say which is which.
function spanNodes(span) {
  if (typeof span === "string") return [span];
  const [truth, heard] = span;
  if (!heard) {
    return [hidden(" [missing: "), element("del", { className: "alone", textContent: truth }), hidden("] ")];
  }
  if (!truth) {
    return [hidden(" [added: "), element("ins", { className: "alone", textContent: heard }), hidden("] ")];
  }
  return [
    hidden(" [instead of "), element("del", { textContent: truth }),
    hidden(" heard "), element("ins", { textContent: heard }), hidden("] "),
  ];
}

function line(name, children) {
  return [element("dt", { textContent: name }), element("dd", { lang: "ja" }, children)];
}

function utterance(row) {
  const [, hypothesis, spans, errors, characters, logProb, flags, classes] = row.values;
  const [id, corpus, duration, reference] = row.utterance;
  const sure = logProb === null ? "" : ` · ${logProb.toFixed(2)} per token`;
  const cer = characters ? `${((100 * errors) / characters).toFixed(0)}%` : "no reference";
  const tags = [
    ...flags.map((flag) => element("span", { className: "tag flag", textContent: data.flag_names[flag] })),
    ...classes.map((name) => element("span", { className: "tag", textContent: data.class_names[name] })),
  ];
  const card = element("li", {}, [
    element("div", { className: "facts" }, [
      element("strong", { textContent: cer }),
      quiet(`${errors} of ${characters} · ${duration.toFixed(1)} s${sure} · ${corpus}`),
      ...tags,
      element("span", { className: "quiet id", textContent: id }),
    ]),
    element("dl", { className: "texts" }, [
      ...line("Diff", spans.length ? spans.flatMap(spanNodes) : [quiet("nothing on either side")]),
      ...line("Reference", [reference || "–"]),
      ...line("Heard", [hypothesis || "–"]),
    ]),
  ]);
  if (row.clip) {
    const audio = element("audio", { controls: true, preload: "none", src: row.clip });
    audio.setAttribute("aria-label", `Audio of ${reference || id}`);
    card.append(audio);
  }
  return card;
}

const ORDERS = {
  errors: (a, b) => b.values[3] - a.values[3] || b.cer - a.cer,
  cer: (a, b) => b.cer - a.cer || b.values[3] - a.values[3],
  unsure: (a, b) => a.values[5] - b.values[5],
  long: (a, b) => b.utterance[2] - a.utterance[2],
  short: (a, b) => a.utterance[2] - b.utterance[2],
  id: () => 0,
};

const TESTS = {
  "": () => true,
  wrong: (row) => row.values[3] > 0,
  right: (row) => row.values[3] === 0,
  audio: (row) => Boolean(row.clip),
};

const state = { set: "", variant: "", page: 0 };

const chosenSet = () => data.sets.find((found) => found.name === state.set);

function rows() {
  const set = chosenSet();
  const { total, rows: held } = set.variants[data.variants.indexOf(state.variant)];
  const joined = held.map((values) => ({
    values,
    utterance: set.utterances[values[0]],
    clip: set.clips[values[0]],
    cer: values[3] / Math.max(values[4], 1),
  }));
  return { total, held: joined };
}

function matching(held) {
  const corpus = $("#corpus").value;
  const text = $("#text").value.trim().toLowerCase();
  const [kind, number] = $("#only").value.split(" ");
  const wanted =
    kind === "flag" ? (row) => row.values[6].includes(Number(number))
    : kind === "class" ? (row) => row.values[7].includes(Number(number))
    : TESTS[kind];
  const has = (row) =>
    !text ||
    [row.utterance[0], row.utterance[3], row.values[1]].some((part) => part.toLowerCase().includes(text));
  return held
    .filter((row) => (!corpus || row.utterance[1] === corpus) && wanted(row) && has(row))
    .sort((a, b) => ORDERS[$("#sort").value](a, b) || (a.utterance[0] < b.utterance[0] ? -1 : 1));
}

function render() {
  const { total, held } = rows();
  const found = matching(held);
  const pages = Math.max(1, Math.ceil(found.length / PAGE_SIZE));
  state.page = Math.min(state.page, pages - 1);
  const start = state.page * PAGE_SIZE;
  const shown = found.slice(start, start + PAGE_SIZE);
  const where = found.length ? `, showing ${start + 1} to ${start + shown.length}` : "";
  const part = held.length < total ? ` held here, of ${total.toLocaleString("en")} in all` : "";
  $(".count").textContent = `${found.length} of ${held.length} utterances match${where}${part}`;
  $(".utterances").replaceChildren(...shown.map(utterance));
  $(".utterances").start = start + 1;
  $(".pages").hidden = pages === 1;
  $(".page").textContent = `Page ${state.page + 1} of ${pages}`;
  $("#back").disabled = state.page === 0;
  $("#next").disabled = state.page === pages - 1;
}

// Those of the set; a choice that another set does not have ends.
function offerCorpora() {
  const names = [...new Set(chosenSet().utterances.map(([, corpus]) => corpus))].sort();
  const select = $("#corpus");
  const chosen = names.includes(select.value) ? select.value : "";
  select.replaceChildren(option("", "all"), ...names.map((name) => option(name, name)));
  select.value = chosen;
  select.parentElement.hidden = names.length < 2;
}

function choose() {
  offerCorpora();
  for (const select of document.querySelectorAll("[data-choice]")) select.value = state[select.dataset.choice];
  for (const panel of document.querySelectorAll(".panel")) {
    panel.hidden = panel.dataset.set !== state.set || panel.dataset.variant !== state.variant;
  }
  render();
}

function turn(by) {
  state.page += by;
  render();
  $("#utterances").scrollIntoView();
}

function option(value, text) {
  return element("option", { value, textContent: text });
}

function startUtterances() {
  const shownFirst = $(".panel:not([hidden])") ?? $(".panel");
  Object.assign(state, { set: shownFirst.dataset.set, variant: shownFirst.dataset.variant });
  const names = {
    set: data.sets.map((set) => option(set.name, set.title)),
    variant: data.variants.map((name) => option(name, name)),
  };
  for (const select of document.querySelectorAll("[data-choice]")) {
    const choice = select.dataset.choice;
    select.append(...names[choice].map((made) => made.cloneNode(true)));
    select.addEventListener("change", () => {
      state[choice] = select.value;
      state.page = 0;
      choose();
    });
  }
  const group = (label, kind, texts) =>
    element("optgroup", { label }, texts.map((text, number) => option(`${kind} ${number}`, text)));
  $("#only").append(group("Utterance", "flag", data.flag_names), group("Error", "class", data.class_names));
  for (const control of ["#corpus", "#text", "#only", "#sort"]) {
    $(control).addEventListener("input", () => {
      state.page = 0;
      render();
    });
  }
  $("#back").addEventListener("click", () => turn(-1));
  $("#next").addEventListener("click", () => turn(1));
  for (const form of document.querySelectorAll("form")) {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
  }
  choose();
}

startThemes();
if (data.sets.length) startUtterances();
