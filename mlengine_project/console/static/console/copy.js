// Copies the text a button names; without a clipboard the text is selected instead.
import { gettext } from "./words.js";

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const place = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(place.textContent);
      button.textContent = gettext("Copied");
    } catch {
      getSelection().selectAllChildren(place);
      button.textContent = gettext("Selected: copy it with the keyboard");
    }
  });
}
