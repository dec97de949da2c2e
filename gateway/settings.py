"""The environment, read once into one frozen object and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .unable import Unable


class Settings(BaseSettings):
    """What `KOPILKA_…` variables say; secrets do not show when it is printed."""

    model_config = SettingsConfigDict(env_prefix="KOPILKA_", frozen=True, extra="ignore")

    database_url: SecretStr | None = None
    owner_url: SecretStr | None = None
    reader_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    master_key: SecretStr | None = None
    """`1:BASE64,2:BASE64`: the versions of the key that every other key is derived from."""

    @field_validator("database_url", "owner_url", "reader_url", "redis_url")
    @classmethod
    def _is_url(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        schemes = ("redis", "rediss") if info.field_name == "redis_url" else ("postgresql", "postgres")
        if value is None:
            return value
        url = urlsplit(value.get_secret_value())
        if url.scheme not in schemes:
            raise ValueError(f"it begins with {schemes[0]}://")
        if "," in url.netloc.rpartition("@")[2]:
            raise ValueError("it names one host and one port")
        return value

    data_dir: Path = Path(".kopilka")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    public_url: str | None = Field(default=None, alias="KOPILKA_ISSUER")
    environment: Literal["development", "production"] = "development"

    lanes: int = Field(default=8, ge=1, le=64)
    lane_connections: int = Field(default=4, ge=1)
    batch_limit: int = Field(default=512, ge=1)
    queue_limit: int = Field(default=16_384, ge=1)
    drain_seconds: int = Field(default=20, ge=1)

    prove_every_minutes: int = Field(default=10, ge=1, le=60)
    """How often the worker runs the invariants that read no history."""
    prove_at_hour: int = Field(default=2, ge=0, le=23)
    """When it runs all of them, once a day; in UTC."""

    body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    """The largest body of a GraphQL request; 500 receipts of a dozen lines are about 1 MiB."""
    cost_budget: int = Field(default=1_000_000, ge=1)
    cost_restored_per_second: int = Field(default=100_000, ge=1)
    """What a client may spend at once, and how fast that comes back."""

    @property
    def issuer(self) -> str:
        """The address the gateway is known by, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def is_development(self) -> bool:
        """Whether introspection, GraphiQL and other conveniences are on."""
        return self.environment == "development"

    def require(self, name: str) -> str:
        """The text of a setting that must be there. Raises `Unable` naming its variable."""
        value = getattr(self, name)
        if value is None:
            raise Unable(f"KOPILKA_{name.upper()} is not set; kopilka up sets everything for you.")
        return str(value.get_secret_value() if isinstance(value, SecretStr) else value)


def read_settings() -> Settings:
    """Settings from the environment. Raises `Unable` with the variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "_".join(str(part) for part in first["loc"]).upper().removeprefix("KOPILKA_")
        raise Unable(f"KOPILKA_{name} is wrong: {first['msg']}.") from None
