// A policy for tests, which does what the identity is called by: it lets everybody in but who claims to be banned, whom it tells
// what else they claim.
import { fail, Genesis, Offer } from "skerry/module";
import { Packed } from "skerry/msgpack";

@module({ name: "policy", version: "1.0.0", abi: 1, upgrade: "carry" })
class Policy {
  init(made: Genesis): void {}

  readable(identity: string): bool {
    return identity == "admin";
  }
}

@event("$connect")
class Connect {
  connection_id: Uint8Array = new Uint8Array(0);
  identity: string = "";

  authorize(offer: Offer): void {
    if (this.identity == "refused") fail(7, "not you");
    if (this.identity == "trapped") unreachable();
    if (this.identity == "endless") while (true) {}
    const claims = new Packed(offer.claims);
    if (claims.ended) return;
    let name = "";
    let banned = false;
    for (let n = claims.map(); n > 0; n--) {
      const claim = claims.text();
      if (claim == "name") name = claims.text();
      else if (claim == "banned") banned = load<u8>(claims.one().value("bool").dataStart) != 0;
      else claims.skip();
    }
    if (banned) fail(8, `${name} is banned`);
  }
}

@event("$disconnect")
class Disconnect {
  connection_id: Uint8Array = new Uint8Array(0);
  identity: string = "";

  authorize(offer: Offer): void {
    if (this.identity == "stays") fail(9, "nobody leaves");
    if (this.identity == "trapped later") unreachable();
  }
}
