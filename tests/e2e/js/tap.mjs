// Steps in order, one line each: `ok - name`, or `not ok - name` after what went wrong. test_js.py counts them.
export async function run(steps) {
  let bad = 0;
  for (const step of steps) {
    const name = step.name.replace(/([A-Z])/g, (c) => " " + c.toLowerCase());
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
