/** What the character does in the page: only to elements that the embedder put within its reach. */

const AREA = "[data-avatar-area]";
const HIGHLIGHT_MS = 4000;

export const ACTIONS = ["click", "scroll_to", "highlight"] as const;
export type Action = (typeof ACTIONS)[number];

/** The element with this id or `data-avatar-target`, if it lies within a `data-avatar-area`. */
export function find(root: ParentNode, target: string): HTMLElement | null {
  const name = CSS.escape(target);
  const found = root.querySelectorAll<HTMLElement>(`#${name}, [data-avatar-target="${name}"]`);
  for (const element of found) if (element.closest(AREA) !== null) return element;
  return null;
}

/** Do it; false when there is no such element within reach. */
export function perform(root: ParentNode, action: Action, target: string): boolean {
  const element = find(root, target);
  if (element === null) return false;
  switch (action) {
    case "click":
      if (element.matches(":disabled")) return false;
      element.click();
      break;
    case "scroll_to":
      element.scrollIntoView({ behavior: "smooth", block: "center" });
      break;
    case "highlight":
      element.scrollIntoView({ behavior: "smooth", block: "nearest" });
      element.classList.add("avatar-highlight");
      setTimeout(() => element.classList.remove("avatar-highlight"), HIGHLIGHT_MS);
      break;
  }
  return true;
}
