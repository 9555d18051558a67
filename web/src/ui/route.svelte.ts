// Where in the client a person is, as the address says: `/`, `/@bob`, `/g/eng/`, `/setup`. The browser's back and forward work.

import { convOf, isConv, isName, peerOf, type Conv } from "../wire/contract";

export type Route = { readonly at: "home" } | { readonly at: "setup" } | { readonly at: "conversation"; readonly conv: Conv };

/** A group's slug may hold a dot; the slash behind it keeps the server from taking it for a file. */
export const pathOf = (conv: Conv): string => (peerOf(conv) === null ? `/g/${conv}/` : `/${conv}`);

export function routeOf(path: string): Route {
  if (path === "/setup") return { at: "setup" };
  const direct = /^\/(@[^/]+)\/?$/.exec(path)?.[1];
  if (direct !== undefined && isConv(direct)) return { at: "conversation", conv: direct };
  const group = /^\/g\/([^/]+)\/?$/.exec(path)?.[1];
  if (group !== undefined && isName(group)) return { at: "conversation", conv: convOf(group) };
  return { at: "home" };
}

/** Steps made inside the client; there is something of ours to go back to when it is above zero. */
const depth = (): number => Number((history.state as { depth?: number } | null)?.depth ?? 0);

let current = $state.raw<Route>(routeOf(location.pathname));
addEventListener("popstate", () => {
  current = routeOf(location.pathname);
});

export const route = {
  get current(): Route {
    return current;
  },

  go(path: string): void {
    if (path === location.pathname) return;
    history.pushState({ depth: depth() + 1 }, "", path);
    current = routeOf(path);
  },

  /** Changes the address without a step to go back to. */
  replace(path: string): void {
    history.replaceState({ depth: depth() }, "", path);
    current = routeOf(path);
  },

  /** Back to the list, in the browser's own history where that is where one came from. */
  back(): void {
    if (depth() > 0) history.back();
    else this.replace("/");
  },
};
