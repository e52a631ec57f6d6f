"""All benchmarks, as ``make bench`` runs them. They compare ratios within one run and assert nothing."""

import closing
import exports
import leet
import overhead
import probe
import terminal

import foreign

if __name__ == "__main__":
    overhead.main()
    probe.main()
    closing.main()
    terminal.main()
    exports.main()
    leet.main()
    foreign.main()
