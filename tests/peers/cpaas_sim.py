#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Places a simulated telephone call, or sends a text message, to a webhook: a CPaaS on the desk.

The call's form is posted to URL, the XML that comes back is carried out (Say, Play, Pause, Gather, Redirect,
Hangup, Reject), and what the caller hears is printed line by line, until the call ends. Nothing but Python's
standard library is needed, and no account anywhere.
"""
import argparse
import os
import pathlib
import re
import select
import signal
import sys
import urllib.parse

from cpaas_call import FROM, TO, Call, Message
from cpaas_http import SIGNATURE_HEADER, Webhook, tls_context

EPILOG = """\
KEYS are digits, * and #; w waits half a second. Give --keys once for each Gather; when there is none left,
nothing is pressed.

URL, without one: $VOXBUS_URL (http://127.0.0.1:8090), the account's sid, and /call.xml or (--sms) /SMS. The
account is $VOXBUS_SID and $VOXBUS_TOKEN, or those in the file $VOXBUS_ACCOUNT (what voxbusd makes at its
first start, $XDG_STATE_HOME/voxbus/account).

exit status: 0 the call went well: every webhook was answered with a document that could be carried out, the
caller heard something or was hung up on, and every --expect was heard; 1 it did not; 2 the command line.

examples:
  cpaas-sim                                            a call to voxbusd with its defaults
  cpaas-sim --keys 12# --hang-up 20                    a caller with a key pad and 20 s of patience
  cpaas-sim --sms 'See you at 5'                       a text message
  cpaas-sim --sign https://vb.example.com/AC../call.xml --via http://127.0.0.1:8090
                                                       signed, as through a reverse proxy
"""


def main():
    options = parse_options()
    party = make_party(options)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the caller hangs up
    party.run()
    heard = party.replies if options.sms is not None else party.heard
    missing = [text for text in options.expect if not any(text in piece for piece in heard)]
    for text in missing:
        party.tell(f"FAILED: not heard: {text}")
    if not party.ok and party.failure is None:
        party.tell("FAILED: the caller hung up and had heard nothing: does anybody poll for the call?")
    sys.exit(0 if party.ok and not missing else 1)


def parse_options():
    p = argparse.ArgumentParser(prog="cpaas-sim", description=__doc__, epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("url", metavar="URL", nargs="?", help="the webhook; it is asked first")
    p.add_argument("--sms", metavar="TEXT", help="send this text message instead of a call")
    p.add_argument("--from", metavar="NUMBER", dest="caller", default=FROM, help="who calls (%(default)s)")
    p.add_argument("--to", metavar="NUMBER", dest="called", default=TO, help="who is called (%(default)s)")
    p.add_argument("--form", metavar="NAME=VALUE", action="append", default=[],
                   help="a parameter of every form, also in place of one of ours: CallSid, FromState ...")
    p.add_argument("--method", choices=("POST", "GET"), default="POST", help="of the first request")
    p.add_argument("--status-callback", metavar="URL", help="is told when the call is completed")
    caller = p.add_argument_group("the caller")
    caller.add_argument("--keys", metavar="KEYS", action="append", default=[], type=keys,
                        help="what is pressed at the next Gather, after its prompt")
    caller.add_argument("--interactive", action="store_true", help="keys are what you type, with Enter")
    caller.add_argument("--barge-in", action="store_true", help="presses at once, hears no prompt")
    caller.add_argument("--hang-up", metavar="SECONDS", type=seconds, default=60.0,
                        help="hangs up after so long (60); Ctrl-C: now")
    caller.add_argument("--speed", metavar="N", type=seconds, default=1.0,
                        help="speech, pauses and keys take 1/N of their time (1)")
    caller.add_argument("--expect", metavar="TEXT", action="append", default=[],
                        help="must be heard (--sms: in a reply), else exit status 1")
    hook = p.add_argument_group("webhooks")
    hook.add_argument("--sign", action="store_true", help="sign with the account's token")
    hook.add_argument("--signature-header", metavar="NAME", default=SIGNATURE_HEADER, help="(%(default)s)")
    hook.add_argument("--timeout", metavar="SECONDS", type=seconds, default=15.0, help="of one attempt (15)")
    hook.add_argument("--retries", metavar="N", type=int, default=1,
                      help="attempts after one that failed: no connection, no answer in time, 5xx (1)")
    hook.add_argument("--retry-delay", metavar="SECONDS", type=seconds, default=0.0, help="before each of them (0)")
    hook.add_argument("--via", metavar="URL", help="http[s]://HOST:PORT that is asked in place of URL's host")
    hook.add_argument("--cacert", metavar="FILE", help="believe these authorities for https://")
    hook.add_argument("--insecure", action="store_true", help="believe any certificate")
    options = p.parse_args()
    try:
        complete(options)
    except ValueError as e:
        p.error(str(e))
    return options


def keys(text):
    if not re.fullmatch(r"[0-9*#w]*", text):
        raise argparse.ArgumentTypeError(f"{text!r}: keys are 0 to 9, *, # and w")
    return text


def seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r}: a number over 0 is needed")
    return value


def complete(options):
    """The URL, the account and the form, from what was given and the account's file."""
    options.sid, options.token = account()
    if not options.url:
        if not options.sid:
            raise ValueError("no account: start voxbusd once, set VOXBUS_SID, or give a URL")
        base = os.environ.get("VOXBUS_URL", "http://127.0.0.1:8090").rstrip("/")
        options.url = f"{base}/{options.sid}/{'call.xml' if options.sms is None else 'SMS'}"
    parts = urllib.parse.urlsplit(options.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{options.url}: a URL with http:// or https:// is needed")
    if options.via and urllib.parse.urlsplit(options.via).scheme not in ("http", "https"):
        raise ValueError(f"--via {options.via}: http://HOST:PORT is needed")
    if options.sign and not options.token:
        raise ValueError("--sign: no token: set VOXBUS_TOKEN, or VOXBUS_ACCOUNT to the account's file")
    first = parts.path.split("/")[1] if parts.path.startswith("/") else ""
    if first.startswith("AC"):
        options.sid = first
    pairs = [pair.partition("=") for pair in options.form]
    if not all(name and equals for name, equals, _ in pairs):
        raise ValueError("--form: NAME=VALUE is needed")
    options.form = {"From": options.caller, "To": options.called, **{name: value for name, _, value in pairs}}


def account():
    """(sid, token) from the environment or the account's file; "" for what is not there."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    path = pathlib.Path(os.environ.get("VOXBUS_ACCOUNT") or f"{state}/voxbus/account")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    known = dict(line.partition("=")[::2] for line in lines)
    return tuple(os.environ.get(name) or known.get(name, "").strip("'\"") for name in ("VOXBUS_SID", "VOXBUS_TOKEN"))


def make_party(options):
    context = tls_context(options.cacert, options.insecure)
    webhook = Webhook(options.token if options.sign else None, options.signature_header, options.timeout,
                      options.retries, options.via, context=context, retry_delay=options.retry_delay)
    common = {"method": options.method, "form": options.form, "say": lambda line: print(line, flush=True)}
    sid = options.sid or "AC" + "0" * 32
    if options.sms is not None:
        return Message(webhook, options.url, sid, options.sms, **common)
    return Call(webhook, options.url, sid, options.keys, typed if options.interactive else None, options.barge_in,
                options.speed, options.hang_up, options.status_callback, **common)


def typed(timeout):
    """A line from the keyboard, or None when none comes in that many seconds."""
    print(f"         keys, then Enter ({timeout:g} s):", flush=True)
    if not select.select([sys.stdin], [], [], timeout)[0]:
        return None
    return os.read(sys.stdin.fileno(), 1024).decode("utf-8", "replace") or None


if __name__ == "__main__":
    main()
