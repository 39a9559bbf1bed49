"""How well the model of reply structure tells entangled conversations apart, on annotated IRC logs.

    python -m bench.disentangle DIR [--json]

DIR holds NAME.ascii.txt and NAME.annotation.txt (Kummerfeld et al., ACL 2019). Scored as their paper does: every
message from line 1,000 on, the server's notices among them, and all links of these. `messages_per_second` is over all
messages of all logs, by processor time on one core, from the message to its link; loading the model and reading the
files do not count.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from bench.disentangle_measures import Links, conversations, score_conversations, score_links
from config.errors import ParlanceError
from tuning.disentangle.irc import FIRST_JUDGED, Log, read_logs
from tuning.disentangle.linker import all_links

ROUNDS = 3
"""The fastest of so many passes is shown: what else the machine does is not the model's speed."""


def found_links(log: Log) -> Links:
    """What the model finds in one log, of the messages judged; a notice is linked to itself."""
    links = {(number, number) for number, message in enumerate(log.messages) if message.notice}
    for link in all_links(log.messages):
        links.add((link.message, link.answers))
        if link.also is not None:
            links.add((link.message, link.also))
    return {(message, answered) for message, answered in links if message >= FIRST_JUDGED}


def measure(folder: Path) -> dict[str, object]:
    """The figures that `--json` prints."""
    logs = read_logs(folder)
    found = [found_links(log) for log in logs]
    seconds = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        for log in logs:
            all_links(log.messages)
        seconds.append(time.process_time() - begin)
    annotated = [{(message, one) for message, ones in log.answered.items() for one in ones} for log in logs]
    links = score_links(list(zip(annotated, found, strict=True)))
    talks = []
    for log, right, mine in zip(logs, annotated, found, strict=True):
        judged = range(FIRST_JUDGED, len(log.messages))
        talks.append((conversations(right, judged), conversations(mine, judged)))
    talk = score_conversations(talks)
    return {
        "link": {"precision": round(links.precision, 2), "recall": round(links.recall, 2), "f1": round(links.f1, 2)},
        "conversation": {
            "vi": round(talk.vi, 2),
            "one_to_one": round(talk.one_to_one, 2),
            "exact_f1": round(talk.exact_f1, 2),
        },
        "messages_per_second": round(sum(len(log.messages) for log in logs) / min(seconds)),
    }


def main() -> int:
    """The command line; 1 where the folder cannot be read."""
    parser = argparse.ArgumentParser(description="Link and conversation scores on annotated IRC logs.")
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    try:
        figures = measure(given.folder)
    except ParlanceError as error:
        print(error, file=sys.stderr)
        return 1
    if given.json:
        print(json.dumps(figures))
        return 0
    for name, figure in figures.items():
        shown = ", ".join(f"{part} {value}" for part, value in figure.items()) if isinstance(figure, dict) else figure
        print(f"{name}: {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
