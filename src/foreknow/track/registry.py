"""The model registry: versions of models under names, found by version or alias."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from foreknow.errors import ConfigError, TrackingError, UnknownModelError, near_match
from foreknow.track.mlflow import NOTE_TAG, VERSIONS_TAG, check_reachable, import_mlflow, tracking_uri

__all__ = ["ModelVersion", "Registry", "check_alias", "check_model_name"]

UNKNOWN = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A version of a registered model. ``run_id``: the run that trained it, if known."""

    name: str
    version: str
    run_id: str | None
    aliases: tuple[str, ...] = ()
    description: str = ""

    @property
    def uri(self) -> str:
        """``models:/NAME/VERSION``."""
        return f"models:/{self.name}/{self.version}"

    def url(self, base: str) -> str:
        """The version's page."""
        return f"{base}/#/models/{quote(self.name)}/versions/{self.version}?workflowType=machine_learning"


def check_model_name(name: str) -> None:
    """Refuse a name the registry would refuse, before training rather than after.

    Raises:
        ConfigError: The name can't be used.
    """
    if not name or any(c in name for c in "/:@") or name != name.strip():
        raise ConfigError(
            f"'{name}' can't be the name of a registered model", hint="use letters, digits, dots, dashes, underscores"
        )


def check_alias(alias: str) -> None:
    """Refuse an alias the registry would refuse.

    Raises:
        ConfigError: The alias can't be used.
    """
    is_word = all(c.isascii() and (c.isalnum() or c in "-_") for c in alias)
    looks_like_version = alias.lower() == "latest" or (alias[:1] in "vV" and alias[1:].isdigit())
    if not alias or not is_word or looks_like_version or len(alias) > 255:
        raise ConfigError(
            f"'{alias}' can't be an alias",
            hint="use letters, digits, dashes, underscores, e.g. champion; MLflow keeps 'latest' and 'v1' to itself",
        )


class Registry:
    """Registered models on a tracking server.

    Args:
        url: Address of the server.

    Raises:
        TrackingError: It doesn't answer.
    """

    def __init__(self, url: str) -> None:
        check_reachable(url)
        self._mlflow = import_mlflow()
        self._url = url
        with self._explained("be used"):
            self._client = self._mlflow.MlflowClient(tracking_uri=url, registry_uri=url)

    def register(
        self,
        name: str,
        model_uri: str,
        *,
        run_id: str,
        alias: str | None = None,
        description: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> ModelVersion:
        """Make a logged model a version of `name`, which is made if new.

        Raises:
            ConfigError: The name or alias can't be used.
            TrackingError: MLflow can't be reached.
        """
        check_model_name(name)
        if alias is not None:
            check_alias(alias)
        client, model_id = self._client, model_uri.removeprefix("models:/")
        # a registry in a file looks the logged model up under MLflow's global address
        with self._explained(f"register '{name}'"), tracking_uri(self._mlflow, self._url):
            try:
                client.create_registered_model(name)
            except self._mlflow.exceptions.MlflowException as e:
                if e.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            made = client.create_model_version(
                name,
                source=model_uri,
                run_id=run_id,
                tags=dict(tags or {}),
                description=description,
                await_creation_for=0,
                model_id=model_id,
            )
            known = client.get_logged_model(model_id).tags.get(VERSIONS_TAG, "[]")
            versions = [*json.loads(known), {"name": name, "version": made.version}]
            client.set_logged_model_tags(model_id, {VERSIONS_TAG: json.dumps(versions)})  # links from the model's page
            if alias:
                client.set_registered_model_alias(name, alias, made.version)
        return ModelVersion(
            name=name,
            version=str(made.version),
            run_id=run_id,
            aliases=(alias,) if alias else (),
            description=description,
        )

    def register_run(self, name: str, run_id: str, *, alias: str | None = None) -> ModelVersion:
        """Make the model a run logged a version of `name`.

        Raises:
            UnknownModelError: The run is unknown or logged no model.
            TrackingError: MLflow can't be reached.
        """
        run = self._run(run_id)
        description = run.data.tags.get(NOTE_TAG, "")
        tags = {k: v for k, v in run.data.tags.items() if k.startswith("foreknow.")}
        return self.register(
            name, self._model_of(run), run_id=run.info.run_id, alias=alias, description=description, tags=tags
        )

    def resolve(self, reference: str) -> ModelVersion:
        """Find a version by ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``; the prefix may be left out.

        Raises:
            UnknownModelError: There is no such model, version or alias.
            TrackingError: MLflow can't be reached.
        """
        text = reference.removeprefix("models:/")
        name, at, alias = text.partition("@")
        if not at:
            name, _, version = text.rpartition("/")
            if not name or not version.isdigit():
                raise UnknownModelError(
                    f"'{reference}' names no model version",
                    hint="write NAME/VERSION or NAME@ALIAS",
                )
        exceptions = self._mlflow.exceptions
        with self._explained(f"look up '{reference}'"):
            try:
                found = (
                    self._client.get_model_version_by_alias(name, alias)
                    if at
                    else self._client.get_model_version(name, version)
                )
            except exceptions.MlflowException as e:
                if e.error_code not in UNKNOWN:
                    raise
                raise UnknownModelError(f"there is no model '{reference}'", hint=self._known(name)) from e
        return _version(found, tuple(found.aliases))

    def list(self) -> list[ModelVersion]:
        """All versions of all registered models, newest first per model.

        Raises:
            TrackingError: MLflow can't be reached.
        """
        with self._explained("list models"):
            models = {m.name: m for m in _pages(self._client.search_registered_models)}
            versions = list(_pages(self._client.search_model_versions))
        aliases: dict[tuple[str, str], tuple[str, ...]] = {}
        for m in models.values():
            for alias, version in sorted(m.aliases.items()):
                aliases[m.name, str(version)] = (*aliases.get((m.name, str(version)), ()), alias)
        versions.sort(key=lambda v: (v.name, -int(v.version)))
        return [_version(v, aliases.get((v.name, str(v.version)), ())) for v in versions]

    def download_bundle(self, *, run_id: str, into: Path) -> Path:
        """Fetch the bundle a run logged.

        Raises:
            UnknownModelError: The run is unknown or logged no model.
            TrackingError: MLflow can't be reached, or the download failed.
        """
        uri = self._model_of(self._run(run_id))
        into.mkdir(parents=True, exist_ok=True)
        with self._explained(f"send the model of run '{run_id}'"), tracking_uri(self._mlflow, self._url):
            folder = self._mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(into))
        found = sorted(Path(folder).rglob("bundle.json"))
        if not found:
            raise UnknownModelError(f"the model of run '{run_id}' holds no bundle", hint="was it made by foreknow?")
        return found[0].parent

    def _run(self, run_id: str) -> Any:
        with self._explained(f"look up run '{run_id}'"):
            try:
                return self._client.get_run(run_id)
            except self._mlflow.exceptions.MlflowException as e:
                if e.error_code not in UNKNOWN:
                    raise
                raise UnknownModelError(
                    f"there is no run '{run_id}'", hint="copy the id from the training's output or the run's page"
                ) from e

    def _model_of(self, run: Any) -> str:
        """URI of the model a run logged."""
        models = run.outputs.model_outputs if run.outputs else []
        if not models:
            raise UnknownModelError(
                f"run '{run.info.run_id}' logged no model; its status is {run.info.status}",
                hint="a run that was interrupted goes on with: foreknow train TASK --resume RUN_ID",
            )
        return f"models:/{models[-1].model_id}"

    def _known(self, name: str) -> str:
        """What there is, near matches first, for whoever asked for something else."""
        known = self.list()
        names = sorted({v.name for v in known})
        if name in names:
            listed = ", ".join(v.version + "".join(f" @{a}" for a in v.aliases) for v in known if v.name == name)
            return f"versions of '{name}': {listed}"
        if not names:
            return "no model is registered yet: foreknow models register NAME --run RUN_ID"
        match = near_match(name, names)
        return (f"did you mean '{match}'? " if match else "") + f"Registered models: {', '.join(names)}."

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Turn MLflow's and the network's errors into ours."""
        try:
            yield
        except (self._mlflow.exceptions.MlflowException, OSError) as e:
            raise TrackingError(f"MLflow at {self._url} can't {what}: {str(e).splitlines()[0]}") from e


def _version(found: Any, aliases: tuple[str, ...]) -> ModelVersion:
    return ModelVersion(
        name=found.name,
        version=str(found.version),
        run_id=found.run_id or None,
        aliases=aliases,
        description=found.description or "",
    )


def _pages(search: Any) -> Iterator[Any]:
    """All results of a search that gives them in pages."""
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return
