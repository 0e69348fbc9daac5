/** The captions of both sides, as they are heard. */

import type { Line } from "./captions";
import { make } from "./dom";
import type { Passage } from "./protocol";

const MOST_LINES = 200;
/** Nearer to the end than this, in pixels, the reader wants to see what comes. */
const AT_END = 60;

export class Log {
  readonly #box: HTMLElement;
  #following = true;
  #height = 0;
  readonly #rows = new Map<number, HTMLElement>();
  /** What the character is called. */
  name = "";

  constructor(box: HTMLElement) {
    this.#box = box;
    // Whoever reads the end still does when the box gets smaller.
    new ResizeObserver(() => {
      this.#height = box.clientHeight;
      if (this.#following) this.#follow();
    }).observe(box);
    box.addEventListener("scroll", () => {
      if (box.clientHeight !== this.#height) return; // moved by its new size, not by the reader
      this.#following = box.scrollHeight - box.scrollTop - box.clientHeight < AT_END;
    });
  }

  show(line: Line): void {
    const row = this.#rows.get(line.id) ?? this.#add(line);
    const [words, interim] = row.querySelectorAll<HTMLElement>(".words, .interim");
    if (words !== undefined) words.textContent = line.text;
    if (interim !== undefined) interim.textContent = line.interim === "" ? "" : ` ${line.interim}`;
    row.classList.toggle("cut", line.cut);
    // A screen reader reads the line when it is complete, not every word of it again.
    row.setAttribute("aria-busy", String(line.open));
    row.hidden = line.text === "" && line.interim === "";
    if (this.#following) this.#follow();
  }

  /** Say below the newest answer which documents it rests on. */
  cite(passages: readonly Passage[]): void {
    this.#box.querySelector(".sources:last-child")?.remove();
    if (passages.length === 0) return;
    const list = make("details", "sources");
    const names = [...new Set(passages.map((passage) => passage.source))];
    list.append(make("summary", "", `From ${names.join(", ")}`));
    for (const passage of passages) {
      const row = make("p");
      if (passage.headings.length > 0) row.append(make("b", "", `${passage.headings.join(" › ")} `));
      row.append(passage.text);
      list.append(row);
    }
    this.#box.append(list);
    if (this.#following) this.#follow();
  }

  #follow(): void {
    this.#box.scrollTop = this.#box.scrollHeight;
  }

  #add(line: Line): HTMLElement {
    const row = make("p", `said ${line.speaker}`);
    row.append(
      make("span", "by", line.speaker === "user" ? "You" : this.name),
      make("span", "words"),
      make("span", "interim"),
    );
    this.#box.append(row);
    this.#rows.set(line.id, row);
    if (this.#rows.size > MOST_LINES) {
      const [oldest, gone] = this.#rows.entries().next().value as [number, HTMLElement];
      gone.remove();
      this.#rows.delete(oldest);
    }
    return row;
  }
}
