"""The settings of the storyboard service."""

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from shared.settings import ServiceSettings, StorySettings, WritingSettings

Output = Literal["tool", "json_schema", "json", "auto"]


class Settings(ServiceSettings, StorySettings, WritingSettings):
    """The settings of all services, and the language model; without one the template writer is used."""

    llm_api_url: str | None = Field(None, description="An OpenAI-compatible endpoint; its base URL")
    llm_api_key: SecretStr | None = Field(None, description="The key for it")
    llm_model: str = Field("gemini-2.5-flash", max_length=128, description="The model that writes the stories")
    llm_output: Output = Field(
        "auto",
        description="How the model is made to return JSON: `tool`, `json_schema`, `json`; `auto` tries each",
    )
    llm_timeout_seconds: float = Field(120, gt=0, le=300, description="How long one answer may take")
    built_in_forge_api_url: str | None = Field(
        None, description="The existing application's endpoint, used without LLM_API_URL"
    )
    built_in_forge_api_key: SecretStr | None = Field(None, description="The key for it")

    @model_validator(mode="after")
    def _take_the_existing_application_s(self) -> "Settings":
        # Use its key only with its own endpoint.
        if self.llm_api_url is None and self.built_in_forge_api_url is not None:
            self.llm_api_url = self.built_in_forge_api_url
            self.llm_api_key = self.llm_api_key or self.built_in_forge_api_key
        return self
