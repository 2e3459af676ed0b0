"""Kernels from source to machine code: in this process, or ahead of time as native objects.

Tasks are Numba functions. Microkernels are emitted as LLVM instructions, without Numba (planes/accumulate.py, ...).

Ahead of time, Numba's own optimizer is switched off (NUMBA_OPT=0, in a process of its own), so that the LLVM module
isn't shaped for the machine that builds it; then LLVM optimizes it for each CPU: reference counts pruned, O3,
both twice, as Numba does. Microkernels, loops of vectors without calls, need O3 once. What comes out calls nothing but
mem* functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import cfunc, types

from paconv.kernels.cpus import Cpu, cpus_of
from paconv.kernels.emit.vectors import i64
from paconv.kernels.registry import FAMILIES, KERNELS, Microkernel

__all__ = [
    "JitMicrokernel", "TaskText", "compile_task", "emit_microkernels", "host_cpus", "native_object", "task_text",
]  # fmt: skip

_TASK = types.void(types.voidptr, types.uintp)


def host_cpus() -> list[Cpu]:
    """The highest of CPUS that the CPU which Numba compiles for can run, after what stands in for it where the
    operating system doesn't let a process use AMX, which only the shim can ask.
    """
    features = set(numba.core.registry.cpu_target.target_context.codegen().magic_tuple()[2].split(","))
    cpus = cpus_of("x86_64" if "+sse2" in features else "aarch64")
    if cpus[0].architecture == "aarch64":
        return cpus[:1]
    suited = [cpu for cpu in cpus if features.issuperset(f"+{name}" for name in cpu.needs)]
    sure = [cpu for cpu in suited if "amx-int8" not in cpu.needs][-1:]
    return sure + [cpu for cpu in suited if "amx-int8" in cpu.needs]


def compile_task(name: str, *, cache: bool = False):
    """Compile a task: Numba's cfunc object, whose `.address` is its address in this process."""
    kernel = KERNELS[name]
    function = getattr(import_module(kernel.module), kernel.name)
    in_c = cfunc(_TASK, error_model="numpy", boundscheck=False, cache=cache)  # type: ignore[call-arg]  # boundscheck
    return in_c(function)


def emit_microkernels(wanted: dict[str, Microkernel]) -> str:
    """LLVM's text of a module with microkernels, symbol -> microkernel."""
    module = ir.Module()
    for symbol, microkernel in wanted.items():
        arguments = [i64] * len(FAMILIES[microkernel.name].arguments)
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), symbol)
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        import_module(microkernel.module).emit(builder, microkernel.plan, *function.args)
        builder.ret_void()
    return str(module)


class JitMicrokernel:
    """A microkernel of a CPU in this process, at `address` for as long as this object lives."""

    def __init__(self, microkernel: Microkernel, cpu: Cpu):
        machine = _machine(cpu, llvm.get_process_triple(), jit=True)
        module = _optimized(emit_microkernels({"microkernel": microkernel}), machine, 1)
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        self.address = self._engine.get_function_address("microkernel")


@dataclass(frozen=True)
class TaskText:
    """A compiled task as LLVM's text, and the name of its C entry there."""

    text: str
    entry: str


def task_text(name: str) -> TaskText:
    """The task as Numba makes it, to be optimized for a CPU. Expects Numba's optimizer to be off."""
    task = compile_task(name)
    # Numba keeps a cfunc's body apart from its C entry: its arguments would be copied twice
    return TaskText(task._library.get_llvm_str().replace("{ noinline }", "{ alwaysinline }"), task._wrapper_name)


def native_object(tasks: dict[str, TaskText], wanted: dict[str, Microkernel], cpu: Cpu, triple: str) -> bytes:
    """One object file for `cpu` with tasks and microkernels by symbol; only the symbols are visible, and only to what
    they are linked with: two libraries in a process must not mix.
    """
    machine = _machine(cpu, triple)
    module = _optimized(emit_microkernels(wanted), machine, 1)
    for symbol in wanted:
        module.get_function(symbol).visibility = "hidden"
    for symbol, task in tasks.items():
        part = llvm.parse_assembly(task.text)
        for function in part.functions:
            if not function.is_declaration:
                named = function.name == task.entry
                function.linkage = "external" if named else "internal"
                if named:
                    function.name, function.visibility = symbol, "hidden"
        for variable in part.global_variables:
            if not variable.is_declaration:
                variable.linkage = "internal"
        module.link_in(_optimized(part, machine, 2))
    module.verify()
    return machine.emit_object(module)


def _machine(cpu: Cpu, triple: str, jit: bool = False):
    model = "jitdefault" if jit else "default"
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=cpu.llvm_cpu, features=cpu.features, opt=3, reloc="pic", codemodel=model, jit=jit
    )


def _optimized(module, machine, times: int):
    """The module, or the one of this text, for the machine."""
    if isinstance(module, str):
        module = llvm.parse_assembly(module)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = True
    for _ in range(times):
        prune = llvm.create_new_module_pass_manager()
        prune.add_refprune_pass()
        prune.run(module, llvm.create_pass_builder(machine, options))
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
    return module
