// A form that asks the browser for a passkey: to sign in with one it has (get), or to make one (create). What the browser
// says goes into the form's hidden field, and the form is sent as any other.
export function attach(form) {
  const button = form.querySelector("button[type=submit]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!canAsk()) return tell(form, "none");
    button.disabled = true; // a second press would ask for a second one
    tell(form);
    try {
      form.elements.credential.value = JSON.stringify(await ask(form));
      form.submit();
    } catch (problem) {
      button.disabled = false;
      tell(form, problem);
      button.focus();
    }
  });
}

function canAsk() {
  return Boolean(globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON);
}

async function ask(form) {
  const isNew = form.dataset.kind === "create";
  const options = await fetchOptions(form);
  const publicKey = isNew
    ? PublicKeyCredential.parseCreationOptionsFromJSON(options)
    : PublicKeyCredential.parseRequestOptionsFromJSON(options);
  const credential = await navigator.credentials[isNew ? "create" : "get"]({ publicKey });
  return credential.toJSON();
}

async function fetchOptions(form) {
  const answer = await fetch(form.dataset.options, {
    method: "POST",
    headers: { Accept: "application/json", "X-CSRFToken": form.elements.csrf_token.value },
  });
  const told = await answer.json();
  if (!answer.ok) throw told.detail;
  return told;
}

const BY_NAME = {
  NotAllowedError: "stopped",
  AbortError: "stopped",
  InvalidStateError: "known",
  SecurityError: "elsewhere",
  NotSupportedError: "none",
};

/** Says what went wrong: a sentence of the server's, one of the page's words, or nothing. */
function tell(form, problem) {
  const words = JSON.parse(form.dataset.words);
  const place = form.querySelector("[data-problem]");
  const name = words[problem] ? problem : (BY_NAME[problem?.name] ?? "failed");
  place.textContent = typeof problem === "string" && !words[problem] ? problem : words[name];
  place.hidden = problem === undefined;
}
