"""The clients of one process: messages are calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

from tellapart.training import Interrupted

_SERVER = 1
_ALONE = "a grid within one process has `send_and_receive` and `get_node_ids` alone"


class LocalGrid(Grid):
    """Carries each message to the client's app and its reply back, one client after the other.

    If a client's app raises, the client replies with the error, as on a machine of its own.

    Args:
        app: the app of all clients.
        contexts: by the number of its node, the context of each client that takes part; it may change between rounds.
    """

    def __init__(self, app: ClientApp, contexts: dict[int, Context]) -> None:
        self.app, self.contexts = app, contexts
        # A message bears the number of its process, which Flower's runtime sets where there is one.
        TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = _SERVER

    def get_node_ids(self) -> Iterable[int]:
        """The nodes of the clients that take part."""
        return list(self.contexts)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """The replies; there is no waiting."""
        del timeout
        return [self._reply(message) for message in messages]

    def _reply(self, message: Message) -> Message:
        try:
            return self.app(message, self.contexts[message.metadata.dst_node_id])
        except Interrupted:
            raise
        except Exception as error:  # whatever happens at a client is not to stop the others
            node, kind = message.metadata.dst_node_id, type(error).__name__
            reason = f"node {node}: {kind}: {error}"
            return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)

    def push_messages(self, messages: Iterable[Message]) -> NoReturn:
        """Not within one process."""
        raise NotImplementedError(_ALONE)

    pull_messages = create_message = set_run = push_messages

    @property
    def run(self) -> NoReturn:
        """Not within one process."""
        raise NotImplementedError(_ALONE)
