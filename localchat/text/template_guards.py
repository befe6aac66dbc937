"""What `template_sandbox` changes in the language of templates before they run."""

from __future__ import annotations

from typing import Any

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from localchat.translation import _


class SafeNamespace(Namespace):
    """`namespace()` without names that begin with an underscore, as transformers has it."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # `namespace(self=...)` is valid
        attributes = dict(*args[1:], **kwargs)
        for name in attributes:
            _refuse_private(name)
        Namespace.__init__(args[0], attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        return "<Namespace>"  # its values may refer to each other, and to itself


def _refuse_private(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(_("a namespace cannot have the attribute {name!r}").format(name=name))


class Guards(NodeTransformer):
    """Rewrites a parsed template so that loops report to the clock, and what is made and written is weighed."""

    def _tick(self) -> nodes.Node:
        return nodes.ExprStmt(self._environment_call("tick", []))

    def _environment_call(self, name: str, arguments: list[nodes.Expr]) -> nodes.Expr:
        return nodes.Call(nodes.EnvironmentAttribute(name), arguments, [], None, None)

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.body.insert(0, self._tick())
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.body.insert(0, self._tick())
        return node

    visit_CallBlock = visit_Macro  # noqa: N815

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._environment_call("concatenate", node.nodes)

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        texts = [nodes.Const(child.data) if isinstance(child, nodes.TemplateData) else child for child in node.nodes]
        node.nodes = [self._environment_call("weighed", [text]) for text in texts]
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._environment_call("weighed", [node])

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._environment_call("weighed", [node])

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return self._environment_call("weighed", [node]) if node.ctx == "load" else node


class Generation(jinja2.ext.Extension):
    """`{% generation %}`, which marks the assistant's part for training; to us it is its content."""

    tags = {"generation"}  # noqa: RUF012  the library declares it so

    def parse(self, parser: jinja2.parser.Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)
