// A certified provider with its own sign-in pages: whoever types a name there is that person.
// PORT=… node provider.mjs FOLDER CLIENTS
// FOLDER is where `npm ci` has put oidc-provider; CLIENTS is JSON, [{client_id, client_secret, redirect_uris}].
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

URL.parse ??= (text, base) => (URL.canParse(text, base) ? new URL(text, base) : null); // which Node.js 18 lacks

const [folder, clients] = process.argv.slice(2);
const port = Number(process.env.PORT);
const { Provider } = await import(pathToFileURL(createRequire(`${folder}/`).resolve("oidc-provider")).href);

// Names are like nina, or nina+bosses: a member of that group. Whose name begins with un- has an e-mail that isn't verified.
function claims(typed) {
  const [name, ...groups] = typed.split("+");
  return {
    sub: typed,
    email: `${name}@bakery.example`,
    email_verified: !name.startsWith("un-"),
    name: name[0].toUpperCase() + name.slice(1),
    groups,
  };
}

const provider = new Provider(`http://localhost:${port}`, {
  clients: JSON.parse(clients),
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "groups"] },
  cookies: { keys: ["for tests alone"] },
  features: { devInteractions: { enabled: true } },
  pkce: { required: () => true },
  findAccount: (_context, typed) => ({ accountId: typed, claims: () => claims(typed) }),
});

provider.listen(port, "localhost");
