"""Language models behind one narrow contract: `openai` (any OpenAI-compatible endpoint) and `builtin` (none at all)."""

from chatbot.config import Settings
from chatbot.providers.builtin import BuiltinProvider
from chatbot.providers.contract import Provider
from chatbot.providers.openai import Endpoint, OpenAIProvider
from chatbot.tenants.settings import AssistantSettings


class Providers:
    """The providers of one process. Each endpoint has one, which remembers what it found out about it."""

    def __init__(self, settings: Settings) -> None:
        self._platform: Provider = BuiltinProvider()
        if settings.has_model:
            endpoint = Endpoint(settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, settings.OPENAI_MODEL)
            self._platform = OpenAIProvider(endpoint)

    def for_assistant(self, assistant: AssistantSettings) -> Provider:
        """The provider that answers for an assistant."""
        return self._platform

    def warm_up(self) -> None:
        """Load what the first answer would wait for."""
        if isinstance(self._platform, OpenAIProvider):
            self._platform.warm_up()
