// Light, dark, or as the system has it.

export type Theme = "system" | "light" | "dark";

export const THEMES: readonly Theme[] = ["system", "light", "dark"];
const KEY = "magpie.theme";

const found = THEMES.find((one) => one === localStorage.getItem(KEY)) ?? "system";
let current = $state<Theme>(found);

function show(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
}
show(found);

export const theme = {
  get current(): Theme {
    return current;
  },
  set current(chosen: Theme) {
    current = chosen;
    localStorage.setItem(KEY, chosen);
    show(chosen);
  },
};
