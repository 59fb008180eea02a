"use strict";

const period = 1000;
const streams = 4;
const grid = document.getElementById("cameras");
const cards = new Map();

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const stateClass = {
  streaming: "good", delivering: "good", connecting: "", starting: "", ended: "", closed: "",
  stalled: "warn", reconnecting: "warn", retrying: "warn",
};
const endings = ["ok", "late", "dropped", "failed"];

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function copy(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

function pill(target, state) {
  target.textContent = state;
  target.classList.remove("good", "warn", "bad");
  if (stateClass[state]) target.classList.add(stateClass[state]);
}

function duration(seconds) {
  const whole = Math.floor(seconds);
  const parts = [[Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"], [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]];
  const first = Math.max(0, parts.findIndex(([count]) => count > 0));
  return parts.slice(first, first + 2).map(([count, unit]) => `${count} ${unit}`).join(" ");
}

function newCard(name) {
  const card = copy("camera");
  card.querySelector(".name").textContent = name;
  const image = card.querySelector("img");
  image.alt = `live picture of ${name}`;
  // A browser opens six connections to a host, and each stream keeps one: the rest are stills.
  const live = cards.size < streams;
  const source = `/preview/${encodeURIComponent(name)}.${live ? "mjpg" : "jpg"}`;
  const again = () => { image.src = `${source}?${Date.now()}`; };
  image.src = source;
  image.addEventListener("error", () => setTimeout(again, 5000));
  if (!live) image.addEventListener("load", () => setTimeout(again, period));
  grid.append(card);
  return card;
}

function numbers(output) {
  if (output === null || typeof output !== "object") return [];
  if (output.type === "detections") return [["", output.items.length]];
  return Object.entries(output).filter(([, value]) => typeof value === "number");
}

function showApplication(name, counted) {
  const section = copy("app");
  const latency = counted.latency_ms;
  const took = latency.p50 === null ? "" : ` · ${number.format(latency.p50)} ms, p99 ${number.format(latency.p99)} ms`;
  section.querySelector("h3").textContent = name + took;
  const outputs = section.querySelector(".outputs");
  for (const [output, value] of Object.entries(counted.outputs)) {
    for (const [field, count] of numbers(value)) {
      const figure = element("div");
      figure.append(element("b", "", number.format(count)), element("span", "", `${output} ${field}`));
      outputs.append(figure);
    }
  }
  const frames = counted.frames;
  const bar = section.querySelector(".bar");
  const legend = section.querySelector(".legend");
  const shares = [...endings.map((end) => [end, frames[end]]), ["held", frames.held + frames.skipped_sample]];
  bar.setAttribute("aria-label", shares.map(([end, count]) => `${count} ${end}`).join(", "));
  for (const [end, count] of shares) {
    const part = element("i", end);
    part.style.flexGrow = count;
    bar.append(part);
    if (count) legend.append(element("span", end, `${number.format(count)} ${end}`));
  }
  return section;
}

function showCamera(name, now) {
  if (!cards.has(name)) cards.set(name, newCard(name));
  const card = cards.get(name);
  const camera = now.camera;
  pill(card.querySelector(".state"), camera.state);
  const size = camera.width ? `${camera.width}×${camera.height} · ` : "";
  card.querySelector(".facts").textContent = `${size}${number.format(camera.fps)} fps · ${number.format(camera.frames)} frames · ${camera.uri}`;
  const reason = card.querySelector(".reason");
  reason.hidden = !camera.reason;
  reason.textContent = camera.reason || "";
  card.querySelector(".apps").replaceChildren(
    ...Object.entries(now.applications).map(([app, counted]) => showApplication(app, counted)),
  );
}

function showSinks(sinks) {
  const rows = Object.values(sinks).map((sink) => {
    const row = element("tr");
    const state = element("span", "pill");
    pill(state, sink.state);
    const cell = element("td");
    cell.append(state);
    row.append(element("td", "", sink.name), cell);
    for (const count of [sink.delivered, sink.pending, sink.discarded]) {
      row.append(element("td", "number", number.format(count)));
    }
    row.append(element("td", "", sink.last_error || ""));
    return row;
  });
  document.getElementById("sinks").hidden = rows.length === 0;
  document.querySelector("#sinks tbody").replaceChildren(...rows);
}

function show(now) {
  document.title = `${now.node} · edgesdk`;
  document.getElementById("node").textContent = now.node;
  document.getElementById("uptime").textContent = `up ${duration(now.seconds)} · edgesdk ${now.version}`;
  const status = document.getElementById("status");
  status.textContent = now.ready ? "ready" : "getting ready";
  status.className = now.ready ? "pill good" : "pill warn";
  for (const [name, camera] of Object.entries(now.cameras)) showCamera(name, camera);
  for (const [name, card] of cards) {
    if (!(name in now.cameras)) {
      card.remove();
      cards.delete(name);
    }
  }
  document.getElementById("none").hidden = cards.size > 0;
  showSinks(now.sinks);
}

async function poll() {
  try {
    const answer = await fetch("/cameras", { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.statusText);
    show(await answer.json());
  } catch {
    const status = document.getElementById("status");
    status.textContent = "no answer from the node";
    status.className = "pill bad";
  }
  setTimeout(poll, period);
}

poll();
