"""`localchat ask`: one question, one answer on standard output; the prompt may come from standard input."""

from __future__ import annotations

import json as json_library
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from localchat.commands.cache_flag import CacheWish
from localchat.commands.cut_back import cut_back, cut_back_in_words
from localchat.commands.held_to import chosen_constraint, chosen_language
from localchat.commands.interrupting import interruptible
from localchat.commands.model_choice import chosen_model
from localchat.commands.passphrase import open_history
from localchat.commands.personas import persona_sampling, system_prompt
from localchat.commands.progress import ProgressLine, say
from localchat.commands.sampling_flags import takes_sampling
from localchat.config import Config, load_config
from localchat.documents.document import Document
from localchat.documents.reading import read_document
from localchat.errors import HistoryUnavailable, InvalidSetting, LocalChatError
from localchat.events import PromptFitted, PromptProgress, ReplyDone, TextCut, TextDelta
from localchat.history.records import EndStatus
from localchat.history.store import HistoryStore
from localchat.hub.installed import find_model
from localchat.known_settings import thinks
from localchat.messages import Message, ReplyOptions
from localchat.recording import Recording, ReplyRecorded, TokenChosen
from localchat.reply_language import told
from localchat.translation import _

if TYPE_CHECKING:
    from localchat.engine.facade import Engine


def register(app: typer.Typer) -> None:
    @app.command()
    @takes_sampling
    def ask(
        prompt: Annotated[list[str] | None, typer.Argument(help="The question; standard input is added to it.")] = None,
        model: Annotated[str | None, typer.Option("-m", "--model", help="An installed model, or a path.")] = None,
        system: Annotated[str | None, typer.Option("-s", "--system", help="System prompt.")] = None,
        persona: Annotated[
            str | None, typer.Option(help="Who the model is to be; `localchat personas` lists them.")
        ] = None,
        like: Annotated[Path | None, typer.Option(help="A text whose style the reply is to have.")] = None,
        file: Annotated[
            list[Path] | None, typer.Option("-f", "--file", help="Give a file too: text, code, PDF or DOCX.")
        ] = None,
        go_on: Annotated[bool, typer.Option("-c", "--continue", help="Go on with the last conversation.")] = False,
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the text.")] = False,
        max_tokens: Annotated[
            int | None, typer.Option("-n", "--max-tokens", min=1, help="Length of the reply.")
        ] = None,
        thinking: Annotated[
            bool | None,
            typer.Option("--thinking/--no-thinking", help="Let a model that can be told think first, or not."),
        ] = None,
        schema: Annotated[Path | None, typer.Option(help="The answer is JSON that follows this JSON schema.")] = None,
        regex: Annotated[str | None, typer.Option(help="The answer matches this regular expression.")] = None,
        grammar: Annotated[Path | None, typer.Option(help="The answer follows this grammar, as Lark's are.")] = None,
        language: Annotated[
            str | None, typer.Option(help="Hold the answer to Chinese (zh) or English (en), or to none (any).")
        ] = None,
        draft: Annotated[
            str | None, typer.Option(help="A smaller model of the same family that guesses ahead.")
        ] = None,
        cache: CacheWish = None,
        probabilities: Annotated[
            int, typer.Option(min=0, help="With --json: how likely each token was, and so many others in its place.")
        ] = 0,
        *,
        sampling: Mapping[str, float],
    ) -> None:
        """Ask one question and print the answer."""
        if probabilities and not json:
            raise typer.BadParameter(_("--probabilities needs --json."))
        config = load_config()
        sampling = {**config.sampling, **persona_sampling(persona), **sampling}
        constraint = chosen_constraint(schema, regex, grammar)
        spoken_in = chosen_language(language, config.reply_language)
        documents = [read_document(path) for path in file or []]
        question = _question(prompt or [], documents)
        options = ReplyOptions(
            sampling,
            max_tokens or config.max_tokens,
            think=thinking,
            probabilities=probabilities,
            constraint=constraint,
            reply_language=spoken_in,
            loop_guard=config.loop_guard,
            overflow=config.overflow,
            speculate=config.speculation,
        )
        config = replace(config, draft_model=draft or config.draft_model, cache=cache or config.cache)
        system = system_prompt(config.system_prompt, system, persona, like)
        _Ask(config, question, documents, options, json).run(model, system, go_on)


class _Ask:
    """One run of the command."""

    def __init__(
        self, config: Config, question: str, documents: Sequence[Document], options: ReplyOptions, as_json: bool
    ) -> None:
        self._config = config
        self._question = question
        self._documents = documents
        self._options = options
        self._as_json = as_json
        self._chosen: list[TokenChosen] = []
        self._recording: Recording | None = None
        self._engine: Engine | None = None

    def run(self, model: str | None, system: str, go_on: bool) -> None:
        path = chosen_model(model or self._config.model)
        with closing(_open_history(go_on)) as store:
            conversation, earlier = _conversation(store, go_on, system)
            files = [document.as_record() for document in self._documents]
            last = earlier[-1][0] if earlier else None
            parent = store.add_message(conversation, last, "user", self._question, attachments=files)
            turns = [m for _, m in earlier] + [parent.as_message()]
            instruction = told(system, self._options.reply_language)
            messages = [Message("system", instruction), *turns] if instruction else turns
            reply = store.begin_reply(conversation, parent.id, path.name)
            if store.is_plain:
                self._options = replace(self._options, chat=conversation)
            written: list[str] = []
            thought: list[str] = []
            status: EndStatus = "interrupted"
            stats, problem = None, ""
            try:
                done = self._answer(path, messages, written, thought)
                status, stats = "complete", asdict(done)
                if done.finish_reason == "stopped":
                    raise KeyboardInterrupt
            except KeyboardInterrupt:
                status = "stopped"
                raise
            except LocalChatError as error:
                status, problem = "error", str(error)
                raise
            finally:
                text, thinking = "".join(written), "".join(thought)
                store.finish(
                    reply, text, status, thinking=thinking, stats=stats, error=problem, recording=self._recording
                )
                if self._engine is not None:
                    self._engine.flush()

    def _answer(self, path: Path, messages: list[Message], written: list[str], thought: list[str]) -> ReplyDone:
        """Stream the answer to standard output; whatever happens, it is in `written` so far, and in `thought` what the
        model wrote for itself before."""
        with ProgressLine() as line:
            line.show(_("Starting"), None)
            from localchat.engine.facade import Engine
            from localchat.engine.prefix_cache import Budgets

            self._engine = engine = Engine()
            draft = find_model(self._config.draft_model) if self._config.draft_model else None
            info = engine.load(
                path,
                self._config.context_length,
                draft,
                cache_kind=self._config.cache,
                budgets=Budgets.of(self._config),
                on_progress=lambda p: line.show(_(p.stage), p.fraction),
            )
            for note in filter(None, (info.draft_problem, info.cache_note)):
                line.note(note)
            options = self._options
            if options.think is None and info.thinking_switch:
                options = replace(options, think=thinks(self._config.thinking))
            events = interruptible(engine, messages, options)
            for event in events:
                if isinstance(event, PromptProgress):
                    line.show(_("Reading the prompt"), event.done / event.total)
                elif isinstance(event, PromptFitted) and event.left_out:
                    words = _("The {left_out} oldest messages no longer fit and are left out.")
                    line.note(words.format(left_out=event.left_out))
                    if event.summarised:
                        line.note(_("A summary stands for {count} of them.").format(count=event.summarised))
                elif isinstance(event, TextDelta) and event.thinking:
                    thought.append(event.text)
                    line.show(_("Thinking"), None)
                elif isinstance(event, TextDelta):
                    line.close()
                    written.append(event.text)
                    self._show(event.text)
                elif isinstance(event, TextCut):
                    cut_back(event, written, thought)
                    self._show("\n")
                elif isinstance(event, TokenChosen):
                    self._chosen.append(event)
                elif isinstance(event, ReplyRecorded):
                    self._recording = Recording.of(event)
                elif isinstance(event, ReplyDone):
                    self._finish("".join(written), event, info.name)
                    return event
        raise LocalChatError(_("The engine ended without a reply."))

    def _show(self, text: str) -> None:
        if not self._as_json:
            sys.stdout.write(visible(text) if sys.stdout.isatty() else text)
            sys.stdout.flush()

    def _finish(self, text: str, done: ReplyDone, model: str) -> None:
        if self._as_json:
            keys = ("finish_reason", "prompt_tokens", "cached_tokens", "completion_tokens", "seed")
            times = ("time_to_first_token_s", "decode_tokens_per_second", "drafted_tokens", "accepted_tokens")
            facts: Mapping[str, object] = asdict(done)
            answer = {"text": text, **{k: facts[k] for k in keys}, "model": model, **{k: facts[k] for k in times}}
            if self._options.probabilities:
                answer["tokens"] = [_as_object(token) for token in self._chosen]
            print(json_library.dumps(answer, ensure_ascii=False))
        elif not text.endswith("\n") and done.finish_reason != "loop":
            print(flush=True)
        if done.finish_reason == "context":
            say(_("The context is full: the reply ends here."))
        elif done.finish_reason == "loop" and not self._as_json:
            print(f"localchat: {cut_back_in_words(text)}", file=sys.stderr)


def _as_object(token: TokenChosen) -> dict[str, object]:
    return {
        **asdict(token.chosen),
        "entropy": token.entropy,
        "alternatives": [asdict(each) for each in token.alternatives],
    }


def visible(text: str) -> str:
    """`text` without control characters: what a model writes must not steer the terminal."""
    return "".join(c for c in text if c in "\n\t" or (c.isprintable() or ord(c) > 0x9F))


def _question(words: list[str], documents: Sequence[Document]) -> str:
    """What was asked; may be empty when a file was given, which then speaks for itself."""
    parts = [" ".join(words)] if words else []
    if (piped := _standard_input()).strip():
        parts.append(piped.rstrip("\n"))
    question = "\n\n".join(part for part in parts if part.strip())
    if not question.strip() and not documents:
        raise typer.BadParameter(_("There is no question. Give it as an argument or on standard input."))
    return question


def _standard_input() -> str:
    """What was piped in; nothing when standard input is a terminal or closed."""
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        return ""
    try:
        return sys.stdin.buffer.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _open_history(go_on: bool) -> HistoryStore:
    try:
        return open_history()
    except HistoryUnavailable as error:
        if go_on:
            raise
        print(f"localchat: {error} {_('This question is answered, but not kept.')}", file=sys.stderr)
        return HistoryStore.in_memory()


def _conversation(store: HistoryStore, go_on: bool, system: str) -> tuple[str, list[tuple[str, Message]]]:
    """Id of the conversation to add to, and its messages so far with their ids."""
    if go_on and (latest := store.conversations(limit=1)):
        return latest[0].id, [(m.id, m.as_message()) for m in store.branch(latest[0].id)]
    if go_on:
        raise InvalidSetting(_("There is no conversation to go on with."), _("Ask without --continue first."))
    return store.create_conversation(system_prompt=system).id, []
