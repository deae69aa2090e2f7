// Makes and changes elements. Text only ever becomes text: there is no way in here to turn it into markup.

const SVG = "http://www.w3.org/2000/svg";

/** A new element with attributes and children; a string child is text, null is nothing. */
export function make(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for a drawing. */
export function draw(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** The element of that id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Set an element's text, and touch nothing if it is that already: a screen reader would read it again. */
export function say(element, words) {
  if (element.textContent !== words) {
    element.textContent = words;
  }
}

/** Put these children into the element unless they would look just as those that it has. */
export function show(element, ...children) {
  const next = make(element.localName, {}, ...children);
  if (next.innerHTML !== element.innerHTML) { // read only: nothing is ever parsed
    element.replaceChildren(...next.childNodes);
  }
}

/** A mark in the shape of its tone, so that colour is not all that tells it. */
export function mark(tone) {
  return make("span", { class: "mark", "aria-hidden": "true", "data-tone": tone });
}
