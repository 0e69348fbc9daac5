/** Shows what the character sends to the page: its events as cards, and asks everybody who listens to do more. */

import { make } from "./dom";
import type { ClientEvent } from "./protocol";

const MOST_CARDS = 3;
const LONGEST_VALUE = 300;

/** Fired on the document for every client event; its `detail` is a ClientEvent. Prevent it to show no card. */
export const EVENT = "animacy:event";

export class Board {
  readonly #box: HTMLElement;

  constructor(box: HTMLElement) {
    this.#box = box;
  }

  /** Tell whoever listens; show a card unless somebody takes the event over. */
  show(event: ClientEvent): void {
    const told = new CustomEvent<ClientEvent>(EVENT, { detail: event, cancelable: true });
    if (!document.dispatchEvent(told)) return;
    const card = make("article", "event");
    card.dataset.event = event.name;
    card.append(make("h3", "", words(event.name)));
    for (const [name, value] of Object.entries(event.arguments)) {
      const row = make("p");
      row.append(make("span", "faint", `${words(name)} `), make("span", "", plain(value)));
      card.append(row);
    }
    this.#box.append(card);
    while (this.#box.children.length > MOST_CARDS) this.#box.firstElementChild?.remove();
    this.#box.hidden = false;
  }

  clear(): void {
    this.#box.replaceChildren();
    this.#box.hidden = true;
  }
}

function words(name: string): string {
  return name.replaceAll("_", " ");
}

function plain(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.slice(0, LONGEST_VALUE);
}
