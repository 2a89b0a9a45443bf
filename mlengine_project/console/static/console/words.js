// Texts of the scripts in the page's language; the catalogue is loaded before any module.
export const gettext = globalThis.gettext ?? ((text) => text);

export function fill(text, values) {
  return Object.entries(values).reduce((filled, [name, value]) => filled.replaceAll(`{${name}}`, value), text);
}
