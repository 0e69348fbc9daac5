import { defineConfig } from "vitest/config";

/** Built into ../static, with plain names and relative addresses, for a strict Content-Security-Policy. */
export default defineConfig({
  base: "./",
  build: {
    outDir: "../static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: false,
    target: "es2022",
    rollupOptions: {
      output: { entryFileNames: "page.js", chunkFileNames: "[name].js", assetFileNames: "[name][extname]" },
    },
  },
  worker: {
    format: "es",
    rollupOptions: { output: { entryFileNames: "[name].js" } },
  },
  server: {
    proxy: { "/api": { target: "http://127.0.0.1:7860", ws: true } },
  },
  test: { include: ["tests/**/*.test.ts"] },
});
