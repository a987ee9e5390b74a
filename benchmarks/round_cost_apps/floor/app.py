"""An app that answers and does nothing: what Flower itself takes for a message and its reply."""

import json
import time
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

server = ServerApp()
client = ClientApp()
POLL = 0.2


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Ask every node once a round."""
    while len(list(grid.get_node_ids())) < 3:
        time.sleep(POLL)
    seconds = []
    for number in range(context.run_config["rounds"]):
        began = time.monotonic()
        asked = [_question(node, number) for node in grid.get_node_ids()]
        owed = set(grid.push_messages(asked))
        while owed:
            time.sleep(POLL)
            owed -= {reply.metadata.reply_to_message_id for reply in grid.pull_messages(owed)}
        seconds.append(time.monotonic() - began)
    Path(context.run_config["results"], "seconds.json").write_text(json.dumps(seconds))


def _question(node: int, number: int) -> Message:
    content = RecordDict({"task": ConfigRecord({"round": number})})
    return Message(content=content, dst_node_id=node, message_type="query.ping")


@client.query("ping")
def ping(message: Message, context: Context) -> Message:
    """Send back what came."""
    return Message(content=message.content, reply_to=message)
