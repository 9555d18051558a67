// How the client is built, served while developing, and tested. The server's build script runs `npm run build` and embeds `dist`.
import { paraglideVitePlugin } from "@inlang/paraglide-js";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

/** Where a development server passes the server's part on to: `MAGPIE=http://127.0.0.1:8080 npm run dev`. */
const magpie = process.env["MAGPIE"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [
    paraglideVitePlugin({
      project: "./project.inlang",
      outdir: "./src/paraglide",
      strategy: ["globalVariable", "baseLocale"],
      emitTsDeclarations: false,
    }),
    svelte(),
  ],
  build: {
    target: "es2022",
    outDir: "dist",
    assetsDir: "assets",
    // The page's policy allows no data: script and no inline style; everything is a file of its own.
    assetsInlineLimit: 0,
    sourcemap: false,
    reportCompressedSize: true,
  },
  server: {
    proxy: { "/api": magpie, "/mqtt": { target: magpie, ws: true } },
  },
  test: {
    environment: "node",
    include: ["test/**/*.test.ts"],
    testTimeout: 5000,
  },
});
