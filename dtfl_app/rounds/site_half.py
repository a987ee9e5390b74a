"""What a method declares for its sites, checked before the first task goes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dtfl_app.core.errors import ConfigError
from dtfl_app.core.settings import Value, keys_of
from dtfl_app.messages.training import ProximalTerm, TeacherTerm
from dtfl_app.messages.wire import EXTRA, TEACHER, Arrays, prefixed
from dtfl_app.rounds.method import Method
from dtfl_app.rounds.site_rule import NoSettings, SiteRule, find_site_rule, overrides

__all__ = ["SiteHalf"]


@dataclass(frozen=True, slots=True, eq=False)
class SiteHalf:
    """The sites' part of a method in one round; by default there is none.

    Parameters
    ----------
    rule : name of the site half; empty = none.
    arrays : what sites keep for it, by their names on the wire.
    settings : for their training.
    upload : name -> shape of the arrays that a reply brings besides the layers, float32.
    state : whether sites keep arrays of their own.
    personal : keys of parameters among these, which never leave a site.
    """

    rule: str = ""
    arrays: Arrays = field(default_factory=dict)
    settings: Mapping[str, Value] = field(default_factory=dict)
    upload: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    state: bool = False
    personal: tuple[str, ...] = ()

    @classmethod
    def of(cls, method: Method) -> SiteHalf:
        """Return what `method` declares; ConfigError for what nobody at a site reads or makes."""
        arrays, settings = method.site_extras()
        upload = dict(method.upload_extras())
        teacher = {n: a for n, a in arrays.items() if n.startswith(f"{TEACHER}/")}
        others = {n: a for n, a in arrays.items() if n not in teacher}
        rule = find_site_rule(method.site_rule) if method.site_rule else SiteRule
        who = f"strategy {method.name!r}"
        _require_read(who, rule, others, settings)
        if upload and not overrides(rule, "after_training"):
            raise ConfigError(
                f"{who}: upload_extras declares {', '.join(upload)}, and no site makes them; "
                "expected a site_rule whose after_training returns them"
            )
        if upload and method.bench.config.privacy.dp:
            raise ConfigError(
                f"{who}: its sites return {', '.join(upload)} besides their layers, and privacy.dp "
                "puts noise on layers alone; use a strategy without extra arrays, or privacy.dp off"
            )
        return cls(
            method.site_rule,
            {**teacher, **prefixed(EXTRA, others)},
            settings,
            upload,
            method.site_state or method.has_personal_keys(),
            _personal(who, method),
        )

    @classmethod
    def without_twin(cls, method: Method) -> SiteHalf:
        """Return what is left once a twin is given up: layers that sites have of their own."""
        personal = tuple(method.personal_keys())
        return cls(state=bool(personal), personal=personal)


def _personal(who: str, method: Method) -> tuple[str, ...]:
    """Layers that sites have of their own; ConfigError where they could not be that."""
    personal, model = tuple(method.personal_keys()), set(method.state.model)
    if not personal:
        return ()
    if unknown := sorted(set(personal) - model):
        raise ConfigError(
            f"{who}: personal_keys names {', '.join(unknown)}; expected keys of the model, "
            f"{', '.join(method.state.model)}"
        )
    if asked := sorted(set(personal) & {*method.upload_keys(method.server_round)}):
        raise ConfigError(
            f"{who}: upload_keys asks for {', '.join(asked)}, which its personal_keys says never "
            "leave a site; expected the others alone"
        )
    if model <= set(personal):
        raise ConfigError(
            f"{who}: all {len(model)} parameters are each site's own, so sites would learn nothing "
            "from each other; leave some layers out"
        )
    if method.bench.config.trust.witness != "off":
        raise ConfigError(
            f"{who}: trust.witness judges whole models, and each site keeps layers of its own; "
            "set trust.witness=off"
        )
    return personal


def _require_read(
    who: str, rule: type[SiteRule], arrays: Arrays, settings: Mapping[str, Value]
) -> None:
    if arrays and not overrides(rule, "before_training"):
        raise ConfigError(
            f"{who}: site_extras sends {', '.join(arrays)}, and nothing at a site reads them; "
            "expected a site_rule whose before_training takes them"
        )
    known = {*keys_of(ProximalTerm), *keys_of(TeacherTerm), *keys_of(rule.Settings)}
    if unread := sorted(settings.keys() - known):
        own = "has none" if rule.Settings is NoSettings else f"has {keys_of(rule.Settings)}"
        raise ConfigError(
            f"{who}: site_extras sends the settings {', '.join(unread)}, and nothing at a site "
            f"reads them; expected fields of its site_rule's Settings, which {own}"
        )
