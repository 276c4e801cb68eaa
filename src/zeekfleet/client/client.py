"""The public asynchronous API of a controller.

    async with Client("127.0.0.1", 2149) as client:
        outcome = await client.deploy_config(configuration)
        if not outcome.ok: ...

One client is one connection; its methods may run at the same time. All times
are in seconds.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar

from zeekfleet.broker import topics
from zeekfleet.broker.events import checks
from zeekfleet.broker.events import controller as api
from zeekfleet.broker.events import dispatches as dispatch_api
from zeekfleet.broker.events.base import Request, Response
from zeekfleet.broker.events.deployments import DeploymentProgress
from zeekfleet.broker.events.presence import PresenceRequest, PresenceResponse
from zeekfleet.client import results
from zeekfleet.client.dispatched import Dispatched, read_dispatched
from zeekfleet.client.results import Checked, Deployed, IdValues, NodesSeen, Restarted, Staged
from zeekfleet.client.tls import problem_of_either
from zeekfleet.errors import ConfigurationError, ProtocolError, RequestTimeoutError, TransportError
from zeekfleet.model.defaults import CLIENT_PORT, LOOPBACK
from zeekfleet.model.management import Configuration, Instance, Result, fresh_id
from zeekfleet.model.presence import InstancePresence
from zeekfleet.transport.endpoint import Delivery, Endpoint, PeerAdded, PeerLost
from zeekfleet.transport.websocket import WebSocketEndpoint

E = TypeVar("E", bound=Response)

OWN_NAME = "zeekfleet"
"""How the names of clients begin that wait as long as a deployment makes progress."""

LONGEST_WAIT = 86400.0
"""Seconds that a request may take, however long the controller is seen to work on it."""

Watcher = Callable[[Delivery], None]
"""Called for every event that arrives beside responses; must return at once."""


class Client:
    """A connection to a controller; use it as an async context manager.

    Args:
        host: the controller's address or name.
        port: the port of its client listener.
        tls: a client's context (``zeekfleet.client.tls.client_context``), or None for plain text.
        timeout: how long each request may take, where a method is not told otherwise.
        connect_timeout: how long to insist on a connection.
        watcher: sees the events of the agents (state changes, errors) and other clients' responses.
        name: what to call this client in the controller's log.
        endpoint: the transport to use instead of a WebSocket of its own.
    """

    def __init__(
        self,
        host: str = LOOPBACK,
        port: int = CLIENT_PORT,
        *,
        tls: ssl.SSLContext | None = None,
        timeout: float = 20.0,
        connect_timeout: float = 10.0,
        watcher: Watcher | None = None,
        name: str = "zeekfleet-client",
        endpoint: Endpoint | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._watcher = watcher
        self._endpoint = endpoint or WebSocketEndpoint(
            name=name if name.startswith(OWN_NAME) else f"{OWN_NAME}-client/{name}"
        )
        self._connected = asyncio.Event()
        self._lost = asyncio.Event()
        self._waits: dict[str, tuple[asyncio.Timeout, float]] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            TransportError: there is no connection within ``connect_timeout``.
        """
        try:
            await self._stack.enter_async_context(self._endpoint)
            tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
            self._endpoint.subscribe(topics.CONTROLLER)
            self._endpoint.subscribe(topics.DEPLOYMENTS)
            if self._watcher is not None:
                self._endpoint.subscribe(topics.AGENT_PREFIX)
            self._endpoint.peer(self._host, self._port, tls=self._tls)
            self._stack.callback(tasks.create_task(self._read_events()).cancel)
            await self._wait_connected(self._connect_timeout)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The body's error is not shown to the task group, which would wrap it in an exception group.
        await self._stack.aclose()

    async def stage(self, configuration: Configuration, *, timeout: float | None = None) -> Staged:
        """Have the controller validate and keep a configuration for :meth:`deploy`."""
        request = api.StageConfigurationRequest(fresh_id(), configuration)
        return results.read_staged((await self._request(request, api.StageConfigurationResponse, timeout)).results)

    async def deploy(self, *, timeout: float | None = None) -> Deployed:
        """Deploy the staged configuration.

        Args:
            timeout: how long to wait without any sign that the controller works on it.
        """
        response = await self._request(api.DeployRequest(fresh_id()), api.DeployResponse, timeout)
        return results.read_deployed(response.results)

    async def deploy_config(self, configuration: Configuration, *, timeout: float | None = None) -> Deployed:
        """Stage a configuration and deploy it; ``timeout`` counts for each of the two.

        Raises:
            ConfigurationError: the controller finds it wrong; ``errors`` has all that it found.
        """
        staged = await self.stage(configuration, timeout=timeout)
        if not staged.ok:
            raise ConfigurationError(staged.errors)
        return await self.deploy(timeout=timeout)

    async def check(self, configuration: Configuration, *, timeout: float | None = None) -> Checked:
        """Have the controller validate a configuration, and its instances check it; nothing is staged or touched."""
        request = checks.ControllerCheckRequest(fresh_id(), configuration)
        return results.read_checked((await self._request(request, checks.ControllerCheckResponse, timeout)).results)

    async def get_nodes(self) -> NodesSeen:
        """The processes of every known instance."""
        response = await self._request(api.GetNodesRequest(fresh_id()), api.GetNodesResponse)
        return results.read_nodes(response.results)

    async def get_instances(self) -> tuple[Instance, ...]:
        """The connected instances, sorted by name.

        Raises:
            RequestFailedError: the controller cannot tell.
        """
        response = await self._request(api.GetInstancesRequest(fresh_id()), api.GetInstancesResponse)
        return results.read_instances(response.result)

    async def get_presence(self) -> tuple[InstancePresence, ...]:
        """Every instance that is configured or connected, with what was last heard of it, sorted by name.

        Nobody is asked for it but the controller, which must be zeekfleet's.
        """
        return (await self._request(PresenceRequest(fresh_id()), PresenceResponse)).instances

    async def get_configuration(self, *, deployed: bool = False) -> Configuration:
        """The deployed or the staged configuration.

        Raises:
            RequestFailedError: there is none.
        """
        request = api.GetConfigurationRequest(fresh_id(), deployed)
        return results.read_configuration((await self._request(request, api.GetConfigurationResponse)).result)

    async def get_id_value(
        self, identifier: str, nodes: Iterable[str] = (), *, timeout: float | None = None
    ) -> IdValues:
        """The value of a global identifier in the named nodes, or in all."""
        request = api.GetIdValueRequest(fresh_id(), identifier, frozenset(nodes))
        return results.read_id_values((await self._request(request, api.GetIdValueResponse, timeout)).results)

    async def dispatch(
        self, action: Iterable[str], nodes: Iterable[str] = (), *, timeout: float | None = None
    ) -> Dispatched:
        """Have the named nodes, or all, run an action of ``model.dispatches.DATA``: its name, then its arguments."""
        words = tuple(action)
        request = dispatch_api.ControllerDispatchRequest(fresh_id(), words, frozenset(nodes))
        response = await self._request(request, dispatch_api.ControllerDispatchResponse, timeout)
        return read_dispatched(words[0], response.results)

    async def restart(self, nodes: Iterable[str] = (), *, timeout: float | None = None) -> Restarted:
        """Restart the named nodes, or all."""
        request = api.RestartRequest(fresh_id(), frozenset(nodes))
        return results.read_restarted((await self._request(request, api.RestartResponse, timeout)).results)

    async def test_timeout(self, *, with_state: bool = False, timeout: float | None = None) -> Result:
        """Have the controller let a request time out; without state it never answers.

        Raises:
            RequestTimeoutError: it did not answer within ``timeout`` here.
        """
        request = api.TestTimeoutRequest(fresh_id(), with_state)
        return (await self._request(request, api.TestTimeoutResponse, timeout)).result

    async def _request(self, event: Request[Response], response: type[E], timeout: float | None = None) -> E:
        timeout = self._timeout if timeout is None else timeout
        await self._wait_connected(timeout)
        answer = asyncio.ensure_future(self._endpoint.request(topics.CONTROLLER, event, LONGEST_WAIT))
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            async with asyncio.timeout(timeout) as wait:
                self._waits[event.reqid] = wait, timeout
                await asyncio.wait({answer, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise TransportError(f"connection to controller {self._host}:{self._port} is lost")
            found = answer.result()
        except TimeoutError:
            raise RequestTimeoutError(event.reqid, timeout) from None
        finally:
            self._waits.pop(event.reqid, None)
            answer.cancel()
            lost.cancel()
            await asyncio.gather(answer, lost, return_exceptions=True)
        if not isinstance(found, response):
            raise ProtocolError(f"{type(event).event_name} was answered by {type(found).event_name}")
        return found

    async def _wait_connected(self, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await self._connected.wait()
        except TimeoutError:
            problem = None
            if self._tls is not None:
                problem = await asyncio.to_thread(problem_of_either, self._tls, self._host, self._port)
            text = f"cannot connect to controller {self._host}:{self._port} within {timeout:g} s"
            raise TransportError(f"{text}: {problem}" if problem else text) from None

    async def _read_events(self) -> None:
        async for happening in self._endpoint.events():
            match happening:
                case PeerAdded():
                    self._lost.clear()
                    self._connected.set()
                case PeerLost():
                    self._connected.clear()
                    self._lost.set()
                case Delivery(event=event):
                    if isinstance(event, DeploymentProgress) and (found := self._waits.get(event.reqid)):
                        wait, timeout = found
                        wait.reschedule(asyncio.get_running_loop().time() + timeout)
                    if self._watcher is not None:
                        self._watcher(happening)
