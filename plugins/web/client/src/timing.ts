/** Draws where the time of the last answers went: bars, and the same as a table for screen readers. */

import { element, make, makeSvg, seconds } from "./dom";
import { MOMENTS, type Waterfall } from "./protocol";
import { axisEnd, latest, MOMENT_NAMES, type Stage, STAGE_NAMES, stages, type Turns } from "./waterfall";

const LANES: Stage["name"][] = ["hearing", "turn", "thinking", "voice", "picture"];
const LANE = 8;
const BAR = 6;
const WIDTH = 1000;
/** The class of a stage; "turn" is that of a whole turn. */
const classOf = (name: Stage["name"]) => (name === "turn" ? "turn-taking" : name);

export function showTurns(turns: Turns): void {
  const middle = turns.median;
  element("median").textContent = middle === null ? "" : `p50 ${seconds(middle)}`;
  element("median").title = `The middle of ${turns.count} answers`;
  const panel = element<HTMLDetailsElement>("timing");
  if (!panel.open) return;
  const end = axisEnd(latest(turns.last));
  const newest = [...turns.last].reverse();
  const parts = newest.length === 0 ? [] : [legend(), ...newest.map((turn) => draw(turn, end)), axis(end), table(newest)];
  if (parts.length > 0) element("waterfall").replaceChildren(...parts);
}

function legend(): HTMLElement {
  const box = make("p");
  box.id = "legend";
  box.setAttribute("aria-hidden", "true");
  box.append(...LANES.map((name) => make("span", classOf(name), STAGE_NAMES[name])));
  return box;
}

function draw(turn: Waterfall, end: number): HTMLElement {
  const box = make("div", "turn");
  box.setAttribute("aria-hidden", "true");
  const title = make("div", "turn-title");
  const response = turn.moments.first_response_frame;
  title.append(make("q", "", turn.user || "…"), make("b", "", response === null ? "–" : seconds(response)));
  const height = LANES.length * LANE + LANE - BAR;
  const bars = makeSvg("svg", { class: "bars", viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none" });
  const x = (time: number) => (Math.max(0, Math.min(time, end)) / end) * WIDTH;
  LANES.forEach((_, i) => bars.append(makeSvg("rect", { class: "lane", x: 0, y: i * LANE + 2, width: WIDTH, height: BAR })));
  for (const { name, begin, end: until } of stages(turn)) {
    const width = Math.max(4, x(until) - x(begin));
    bars.append(
      makeSvg("rect", { class: `bar ${classOf(name)}`, x: x(begin), y: LANES.indexOf(name) * LANE + 2, width, height: BAR }),
    );
  }
  box.append(title, bars);
  return box;
}

function axis(end: number): HTMLElement {
  const box = make("div", "axis");
  box.setAttribute("aria-hidden", "true");
  box.append(make("span", "", "you stop talking"), make("span", "", seconds(end)));
  return box;
}

function table(turns: Waterfall[]): HTMLElement {
  const made = make("table", "visually-hidden");
  made.append(make("caption", "", "Seconds after you stopped talking, newest answer first"));
  const head = made.createTHead().insertRow();
  head.append(...["You said", ...MOMENTS.map((name) => MOMENT_NAMES[name])].map((text) => make("th", "", text)));
  const body = made.createTBody();
  for (const turn of turns) {
    const row = body.insertRow();
    row.append(make("td", "", turn.user || "something"));
    for (const name of MOMENTS) {
      const moment = turn.moments[name];
      row.append(make("td", "", moment === null ? "never" : moment.toFixed(2)));
    }
  }
  return made;
}
