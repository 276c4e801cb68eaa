"""Stores configurations: the staged one as its client sent it, the one that is ready, and the deployed one."""

from __future__ import annotations

import asyncio
import logging

from zeekfleet.controller.completion import Completion
from zeekfleet.model.management import Configuration
from zeekfleet.planning.review import missing_logs
from zeekfleet.store.interface import ConfigState, Store

logger = logging.getLogger(__name__)


class Stage:
    """Keeps configurations in a store, whose calls run in a thread.

    Args:
        store: where they are kept.
        completion: validates configurations, and fills in what they leave open.
    """

    def __init__(self, store: Store, completion: Completion) -> None:
        self._store = store
        self._completion = completion

    async def stage(self, configuration: Configuration) -> None:
        """Store it as STAGED, and as READY with addresses and ports filled in. It is on disk when this returns.

        Raises:
            ConfigurationError: it is not valid; has every problem. Nothing was changed.
            StoreError: it could not be stored; nothing was changed.
        """
        ready = self._completion.complete(configuration)
        for text in missing_logs(configuration):
            logger.warning("configuration %s: %s", configuration.id, text, extra={"config": configuration.id})
        await asyncio.to_thread(self._store.put, {ConfigState.STAGED: configuration, ConfigState.READY: ready})

    async def get(self, state: ConfigState) -> Configuration | None:
        """The latest configuration in that state."""
        return await asyncio.to_thread(self._store.get, state)

    async def check_room(self, configuration: Configuration) -> None:
        """Check that it could be stored as deployed, before any agent is told to run it.

        Raises:
            StoreError: it could not.
        """
        await asyncio.to_thread(self._store.check_room, configuration)

    async def deployed(self, configuration: Configuration) -> None:
        """Store it as DEPLOYED, after every agent has answered. It is on disk when this returns.

        Raises:
            StoreError: it could not be stored.
        """
        await asyncio.to_thread(self._store.put, {ConfigState.DEPLOYED: configuration})
