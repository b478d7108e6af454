// Finds `data-behaviour` and attaches behaviours/<name>.js to the element, once. A page works without all of this.
const attached = new WeakMap();

async function wire(element, name) {
  const names = attached.get(element) ?? new Set();
  if (names.has(name)) return;
  attached.set(element, names.add(name));
  const behaviour = await import(`./behaviours/${name}.js`);
  behaviour.attach(element);
}

function wireAll(root) {
  const found = [...root.querySelectorAll("[data-behaviour]")];
  if (root.matches("[data-behaviour]")) found.push(root);
  for (const element of found) {
    for (const name of element.dataset.behaviour.split(" ")) wire(element, name);
  }
}

document.documentElement.classList.add("has-script");
document.addEventListener("page:added", (event) => wireAll(event.target)); // whoever adds to the page says so
wireAll(document.body);
