// How it looks, in both languages, light and dark, narrow and wide: nothing sticks out, everything that can be pressed has a
// name, nothing is left untranslated. With MAGPIE_SHOTS=<folder> it leaves a picture of every face there.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { field, missing, withServer } from "./browser.mjs";

const options = { skip: missing, timeout: 180_000 };
const SHOTS = process.env["MAGPIE_SHOTS"];
if (SHOTS) mkdirSync(SHOTS, { recursive: true });

const WORDS = {
  "ko-KR": { login: "로그인", name: "계정 이름", password: "비밀번호", chat: "새 대화", group: "새 그룹", settings: "설정", members: "멤버", invite: "초대하기", close: "닫기", back: "목록으로" },
  "en-US": { login: "Log in", name: "Account name", password: "Password", chat: "New chat", group: "New group", settings: "Settings", members: "Members", invite: "Add people", close: "Close", back: "Back to the list" },
};

/** What is wrong with the page as it stands. */
function faults() {
  const found = [];
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth > clientWidth) found.push(`the page is ${scrollWidth - clientWidth} px too wide`);
  for (const one of document.querySelectorAll("button, a[href], input, textarea, [role=dialog], [role=log]")) {
    const box = one.getBoundingClientRect();
    if (box.width === 0 || !one.checkVisibility({ visibilityProperty: true })) continue;
    const label = one.labels?.[0]?.innerText || one.getAttribute("aria-label") || one.innerText || document.getElementById(one.getAttribute("aria-labelledby") ?? "")?.innerText;
    if (!label?.trim()) found.push(`no name: ${one.outerHTML.slice(0, 120)}`);
    if (box.right > clientWidth + 1 || box.left < -1) found.push(`sticks out: ${one.outerHTML.slice(0, 120)}`);
  }
  return found;
}

const LOOKS = [["light", 360], ["dark", 360], ["light", 820], ["light", 1280], ["dark", 1280]];

for (const lang of ["ko-KR", "en-US"]) {
  test(`every face looks right: ${lang}`, options, withServer(async (world) => {
    for (const [theme, width] of LOOKS) await walk(world, lang, theme, width);
  }, ["--demo"]));
}

/** Goes through every face and looks at each. */
async function walk(world, lang, theme, width) {
  const words = WORDS[lang];
  const narrow = width < 800;
  const title = `${lang.slice(0, 2)}-${theme}-${width}`;
  const page = await world.page({ lang, theme, width, height: narrow ? 740 : 800 });
  const look = async (face) => {
    if (SHOTS) {
      await page.evaluate(() => Promise.all(document.getAnimations().filter((one) => one.effect?.getTiming().iterations === 1).map((one) => one.finished)));
      await page.screenshot({ path: path.join(SHOTS, `${title}-${face}.png`) });
    }
    assert.deepEqual(await page.evaluate(faults), [], `${title}: ${face}`);
  };
  const button = (name) => page.getByRole("button", { name, exact: true });
  const close = () => button(words.close).click();

  await look("login");
  await page.getByLabel(words.name).fill("mina");
  await page.getByLabel(words.password, { exact: true }).fill(world.server.demo["mina"]);
  await button(words.login).click();
  await page.locator("a.line").first().waitFor();
  assert.equal(await page.locator("html").getAttribute("lang"), lang.slice(0, 2));
  await look("list");
  await page.getByRole("link", { name: "Balcony" }).click();
  await page.locator("[role=log] article").first().waitFor();
  await field(page).fill("한 줄\n두 줄");
  await look("group");
  await button(words.members).click();
  await page.getByRole("list", { name: words.members }).getByRole("button").nth(2).waitFor();
  await look("members");
  await button(words.invite).click();
  await look("invite");
  await close();
  if (narrow) await button(words.back).click();
  for (const face of ["chat", "group", "settings"]) {
    await page.locator("aside header").getByRole("button", { name: words[face] }).click();
    await page.getByRole("dialog", { name: words[face] }).waitFor();
    await look(`new-${face}`);
    await close();
    await page.getByRole("dialog").waitFor({ state: "detached" });
  }
  await page.context().close();
}
