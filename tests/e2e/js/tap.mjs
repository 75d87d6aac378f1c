// Steps in order, one line each: `ok - name`, or `not ok - name` after what went wrong. test_js.py counts them.
// A step named in `not` is written down as skipped, with the reason.
export async function run(steps, not = {}) {
  let bad = 0;
  for (const step of steps) {
    const name = step.name.replace(/([A-Z])/g, (c) => " " + c.toLowerCase());
    if (not[step.name]) {
      console.log(`ok - ${name} # SKIP ${not[step.name]}`);
      continue;
    }
    try {
      await step();
      console.log(`ok - ${name}`);
    } catch (e) {
      bad++;
      console.log("# " + String(e?.stack ?? e).replaceAll("\n", "\n# "));
      console.log(`not ok - ${name}`);
    }
  }
  process.exit(bad ? 1 : 0);
}

// Resolves when check() is true; a guard against hanging forever, nothing is measured.
export async function until(what, check, seconds = 30) {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    const value = await check();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited ${seconds} s for ${what}`);
}
