// What the tests need of a browser, whatever its engine.

/** One tab. Chromium's is Playwright's page, which can do much more. */
export interface Tab {
  goto(url: string): Promise<unknown>;
  reload(): Promise<unknown>;
  /** Calls a function in the page, or evaluates an expression, and returns its outcome, which is sent as JSON. */
  evaluate<R>(f: string | (() => R | Promise<R>)): Promise<R>;
  evaluate<A, R>(f: (argument: A) => R | Promise<R>, argument: A): Promise<R>;
  close(): Promise<void>;
}

/** One browser that runs, with a profile. */
export interface Browser<T extends Tab> {
  /** The tabs that are open, the oldest first. */
  readonly tabs: readonly T[];
  newTab(): Promise<T>;
  /** Ends all of the browser's processes at once, as a power cut would. */
  kill(): Promise<void>;
}

/** A kind of browser. */
export interface Engine<T extends Tab = Tab> {
  readonly name: string;
  /**
   * Starts a browser on a profile. It calls fault with what should never happen: uncaught errors, unhandled
   * rejections, errors on the console, violated policies.
   */
  launch(profile: string, fault: (text: string) => void): Promise<Browser<T>>;
}
