"""Language models behind one narrow contract: `openai` (any OpenAI-compatible endpoint) and `builtin` (none at all)."""

from collections import OrderedDict
from threading import Lock

from chatbot.config import Settings
from chatbot.providers.builtin import BuiltinProvider
from chatbot.providers.contract import Provider
from chatbot.providers.openai import Endpoint, OpenAIProvider
from chatbot.tenants.named_endpoint import NamedEndpoint

MOST_KEPT = 64  # endpoints whose connections, and what was learned about them, are kept


class Providers:
    """The providers of one process. Each endpoint has one, which remembers what it found out about it."""

    def __init__(self, settings: Settings) -> None:
        self._platform: Provider = BuiltinProvider()
        self._named: OrderedDict[str, tuple[int, OpenAIProvider]] = OrderedDict()  # by the endpoint's id
        self._lock = Lock()
        if settings.has_model:
            endpoint = Endpoint(settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, settings.OPENAI_MODEL)
            self._platform = OpenAIProvider(endpoint)

    def for_endpoint(self, named: NamedEndpoint | None) -> Provider:
        """The provider that answers for an endpoint as it is now; the platform's own for None."""
        if named is None:
            return self._platform
        with self._lock:
            version, provider = self._named.get(named.id, (None, None))
            if provider is None or version != named.version:
                # One that others still stream from is let go, not closed: it ends with the last of them.
                provider = OpenAIProvider(Endpoint(named.base_url, named.key, named.model))
                self._named[named.id] = named.version, provider
            self._named.move_to_end(named.id)
            if len(self._named) > MOST_KEPT:
                self._named.popitem(last=False)
            return provider

    def warm_up(self) -> None:
        """Load what the first answer would wait for."""
        if isinstance(self._platform, OpenAIProvider):
            self._platform.warm_up()
