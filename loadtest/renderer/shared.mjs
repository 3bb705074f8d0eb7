// What the HTTP server and the pages have in common. Next bundles the pages, so a module that both import exists twice in
// the process; its state must not.

/** Returns the process's one value of this name, made at first use. */
export function shared(name, make) {
  const key = Symbol.for(`shellac.renderer.${name}`);
  return (globalThis[key] ??= make());
}
