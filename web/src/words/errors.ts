// What went wrong, in a sentence for the person in front of the screen.

import { m } from "../paraglide/messages.js";
import { RestError } from "../session/rest";
import { AskError } from "../wire/asks";

/** A sentence for a code of the server's or ours. `detail` is the server's own, English sentence. */
export function explainCode(code: string, detail: string, retryAfterSecs: number | null = null): string {
  switch (code) {
    case "bad_credentials":
      return m.error_bad_credentials();
    case "rate_limited":
      return m.error_rate_limited({ seconds: retryAfterSecs ?? 60 });
    case "too_often":
      return m.error_busy();
    case "network":
      return m.error_network();
    case "starting":
    case "busy":
    case "draining":
    case "unavailable":
      return m.error_busy();
    case "bad_token":
      return m.login_again();
    case "bad_setup_token":
      return m.setup_bad_token();
    case "setup_done":
      return m.setup_done();
    case "account_exists":
      return m.error_account_exists();
    case "account_similar":
      return m.error_account_similar();
    case "exists":
      return m.error_taken();
    case "not_allowed":
      return m.error_not_allowed();
    case "offline":
      return m.error_offline();
    case "timeout":
      return m.error_timeout();
    case "not_a_member":
      return m.error_not_a_member();
    case "no_such_conversation":
      return m.error_no_such_conversation();
    case "no_such_account":
      return m.error_no_such_account();
    case "too_large":
      return m.error_too_large();
    case "quota":
      return m.error_quota();
    case "expired":
      return m.error_expired();
    default:
      return m.error_other({ detail: detail || code });
  }
}

export function explain(error: unknown): string {
  if (error instanceof RestError) return explainCode(error.code, error.message, error.retryAfterSecs);
  if (error instanceof AskError) return explainCode(error.code, error.message);
  return m.error_other({ detail: String(error) });
}
