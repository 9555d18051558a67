// The server's REST doors that a person needs before and beside MQTT. It keeps no state and never logs what it carries.

/** What the server refused, or `network` when it could not be reached. */
export class RestError extends Error {
  constructor(
    readonly code: string,
    detail: string,
    readonly retryAfterSecs: number | null = null,
  ) {
    super(detail);
    this.name = "RestError";
  }
}

export interface Account {
  readonly name: string;
  readonly display: string;
  readonly role: "admin" | "member";
}

export interface ServerInfo {
  readonly name: string;
  readonly version: string;
  readonly setup_required: boolean;
}

export interface NewAccount {
  readonly name: string;
  readonly display: string;
  readonly password: string;
  /** Its name may look like another's. */
  readonly similar?: boolean;
}

const ROOT = "/api/v1";

export const server = (): Promise<ServerInfo> => call("GET", "/server");

export const setUp = async (token: string, account: NewAccount): Promise<Account> =>
  (await call<{ account: Account }>("POST", "/setup", { body: { token, ...account } })).account;

export const logIn = (name: string, password: string, device: string): Promise<{ token: string; account: Account }> =>
  call("POST", "/login", { body: { name, password, device } });

export const logOut = (token: string): Promise<void> => call("POST", "/logout", { token });

export interface AccountPage {
  /** By name. */
  readonly accounts: readonly Account[];
  /** Behind which name the list goes on; there may be nobody in a page that is not the last. */
  readonly next: string | null;
}

/** Accounts of which a word of a name begins with `search`, behind the name `after`. */
export const accounts = (
  token: string,
  { search, after }: { readonly search: string; readonly after: string | null },
  signal: AbortSignal,
): Promise<AccountPage> => {
  const parameters = new URLSearchParams({ ...(search && { q: search }), ...(after !== null && { after }) });
  return call("GET", `/accounts?${parameters.toString()}`, { token, signal });
};

export const account = async (token: string, name: string): Promise<Account> =>
  (await call<{ account: Account }>("GET", `/accounts/${encodeURIComponent(name)}`, { token })).account;

/** For administrators. */
export const addAccount = async (token: string, account: NewAccount): Promise<Account> =>
  (await call<{ account: Account }>("POST", "/accounts", { token, body: account })).account;

interface With {
  readonly token?: string;
  readonly body?: object;
  readonly signal?: AbortSignal;
}

async function call<T>(method: string, path: string, { token, body, signal }: With = {}): Promise<T> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(ROOT + path, { method, headers, cache: "no-store", ...(body && { body: JSON.stringify(body) }), ...(signal && { signal }) });
  } catch {
    throw new RestError("network", "the server cannot be reached");
  }
  const said: unknown = await response.json().catch(() => null);
  if (response.ok) return said as T;
  const { error, detail } = (said ?? {}) as { error?: string; detail?: string };
  const retryAfter = Number(response.headers.get("retry-after"));
  throw new RestError(error ?? "internal", detail ?? response.statusText, retryAfter > 0 ? retryAfter : null);
}
