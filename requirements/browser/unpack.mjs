// Unpacks Chromium and its libraries beside this file, into chromium/, with a configuration for its fonts.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "chromium");
mkdirSync(target, { recursive: true });
// The package unpacks into the folder for temporary files, its libraries only where it is told that they are missing.
Object.assign(process.env, { TMPDIR: target, AWS_LAMBDA_JS_RUNTIME: "nodejs22.x" });
const { default: chromium } = await import("@sparticuz/chromium");
await chromium.executablePath();
writeFileSync(join(target, "fonts.conf"), `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${join(target, "fonts", "fonts")}</dir>
  <dir>${join(here, "node_modules", "dejavu-fonts-ttf", "ttf")}</dir>
  <cachedir>${join(target, "font-cache")}</cachedir>
</fontconfig>
`);
rmSync(join(here, "node_modules", "@sparticuz", "chromium", "bin"), { recursive: true });
