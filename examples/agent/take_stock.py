"""An agent with scripted replies and a tool, from Python. Run: python examples/agent/take_stock.py"""

import tempfile
from pathlib import Path

from prices import price

import coda

HERE = Path(__file__).parent


def main() -> None:
    """Lets the agent take stock in a fresh folder, and says where the trace is."""
    root = Path(tempfile.mkdtemp(prefix="coda-stock-"))
    (root / "stock.csv").write_text("article,count\nchair,2\ntable,1\nmug,9\nlamp,3\n")
    agent = coda.Agent(
        model="scripted",
        llm=coda.ScriptedLLM.from_file(HERE / "inventory.md"),
        tools=[price],
        root=root,
        trace=root / "trace.jsonl",
    )
    result = agent.run("What is our stock worth?")
    print(result.text)
    print(f"{result.turns} turns, {result.blocks} blocks, finished: {result.finish_reason}")
    print(f"coda log {result.trace}")


if __name__ == "__main__":
    main()
