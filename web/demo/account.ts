// The account: who one is, whether this device syncs, which other devices are the same person, and the key for a drawer.
import type { Client, open, SkerryError } from "skerry";
import { button, element, make, messageOf, setText } from "./dom.js";

/** Offers the account beside what people call themselves. */
export function offerAccount(client: Client, again: (recover: string) => ReturnType<typeof open>): void {
  const account = new Account(client, again);
  element("who-cancel").before(
    button("Account…", async () => {
      element<HTMLDialogElement>("who").close();
      account.open();
    }, "plain"),
  );
}

class Account {
  readonly #client: Client;
  readonly #dialog = make<HTMLDialogElement>("dialog", { id: "account", "aria-labelledby": "account-title" });
  readonly #told = make("p.quiet", { role: "status" });
  readonly #log = button("", () => this.#logInOrOut());
  readonly #forget = button("Forget this device", () => this.#leave(), "plain");
  readonly #devices = make("ul", { "aria-label": "Linked devices" });
  #force = false;

  constructor(client: Client, again: (recover: string) => ReturnType<typeof open>) {
    this.#client = client;
    const other = make<HTMLInputElement>("input", { id: "account-other", placeholder: "did:key:…", autocomplete: "off", spellcheck: "false" });
    const words = make<HTMLInputElement>("input", { id: "account-words", autocomplete: "off", spellcheck: "false", autocapitalize: "characters" });
    const secret = make<HTMLOutputElement>("output", { "aria-label": "The recovery key" });
    const { identity, device } = client;
    const name = make<HTMLInputElement>("input", { id: "account-name", readonly: "", value: device });
    this.#dialog.append(
      make("h2", { id: "account-title" }, "Account"),
      make("form", { method: "dialog" },
        make("p", {}, identity === device ? "This device has the key that you are." : `This device acts as ${identity}.`),
        make("label", { for: name.id }, "The name of this device's key"), name,
        this.#told,
        make("div.buttons", {},
          this.#forget,
          this.#log,
          ...(identity === device ? [] : [button("Unlink this device", () => this.#alone(), "plain")]),
          button("Copy the name", () => navigator.clipboard.writeText(device).catch(() => name.select())),
        ),
        make("label", { for: other.id }, "Another device, by the name of its key"), other,
        this.#devices,
        make("div.buttons", {},
          button("Did it link this one?", () => this.#accept(other.value.trim()), "plain"),
          button("Link it", async () => {
            await client.link(other.value.trim(), { label: "device" });
            other.value = "";
            this.#tell("It is linked. On the other device, give the name of this one and ask whether it was.");
            await this.#list();
          }),
        ),
        make("label", { for: words.id }, "Recovery key"), words, secret,
        make("div.buttons", {},
          button("Make one", async () => {
            setText(secret, await client.recoveryKey());
            this.#tell("Write it down: nobody can show it again. Whoever has it can act as you.");
          }, "plain"),
          button("Recover by it", async () => {
            await (await again(words.value)).close();
            location.reload();
          }),
        ),
        make("div.buttons", {}, make("button.strong", {}, "Close")),
      ),
    );
    this.#dialog.addEventListener("close", () => {
      setText(secret, "");
      words.value = "";
    });
    document.body.append(this.#dialog);
    client.subscribe(() => this.#draw());
  }

  open(): void {
    this.#force = false;
    setText(this.#forget, "Forget this device");
    this.#tell("");
    this.#draw();
    this.#dialog.showModal();
    void this.#list().catch(() => {}); // with no server there is no list
  }

  #draw(): void {
    const { status } = this.#client;
    setText(this.#log, status.connection === "logged_out" ? "Log in" : "Log out");
  }

  #tell(text: string): void {
    setText(this.#told, text);
  }

  async #logInOrOut(): Promise<void> {
    if (this.#client.status.connection === "logged_out") await this.#client.login();
    else await this.#client.logout();
  }

  async #leave(): Promise<void> {
    try {
      await this.#client.logout({ forget: true, force: this.#force });
      location.reload();
    } catch (error) {
      if ((error as SkerryError).code !== "unsynced") throw error;
      this.#force = true;
      setText(this.#forget, "Forget it all the same");
      this.#tell(messageOf(error));
    }
  }

  async #accept(identity: string): Promise<void> {
    if (await this.#client.acceptLink(identity)) location.reload();
    else this.#tell("That device has not linked this one yet.");
  }

  async #alone(): Promise<void> {
    await this.#client.unlink(this.#client.device);
    location.reload();
  }

  async #list(): Promise<void> {
    const devices = (await this.#client.devices()).filter(({ revokedAt }) => !revokedAt);
    this.#devices.replaceChildren(
      ...devices.map(({ device, label }) =>
        make("li", {}, `${label} …${device.slice(-6)} `, button("Unlink", () => this.#client.unlink(device).then(() => this.#list()), "plain")),
      ),
    );
  }
}
