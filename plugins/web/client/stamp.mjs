/**
 * Writes ../static/build.json: a digest of the sources and of every built file, by which a test without Node tells
 * whether the committed build is fresh.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const CLIENT = import.meta.dirname;
const STATIC = join(CLIENT, "..", "static");
/** What the build is made from, files and folders. */
const SOURCES = ["index.html", "package-lock.json", "package.json", "public", "src", "tsconfig.json", "vite.config.ts"];

const digest = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");

function* files(folder, path) {
  const found = readdirSync(folder, { withFileTypes: true });
  for (const entry of found) {
    const name = path ? `${path}/${entry.name}` : entry.name;
    if (entry.isDirectory()) yield* files(join(folder, entry.name), name);
    else yield name;
  }
}

const sources = SOURCES.flatMap((name) =>
  name.includes(".") ? [name] : [...files(join(CLIENT, name), name)],
).sort();
const all = createHash("sha256");
for (const name of sources) all.update(`${name} ${digest(join(CLIENT, name))}\n`);

const built = [...files(STATIC, "")].filter((name) => name !== "build.json").sort();
const stamp = {
  sources: all.digest("hex"),
  files: Object.fromEntries(built.map((name) => [name, digest(join(STATIC, name))])),
};
writeFileSync(join(STATIC, "build.json"), `${JSON.stringify(stamp, null, 2)}\n`);
