"""What runs say: accuracy, learning curves, cost, comparisons and the report.

Enters: run directories (`runs`), and the published results to set beside them (`published`).
Leaves: figures of accuracy after the standard's and the paper's formulas (`accuracy`), instance
hours and money (`cost`), a table of runs and whether they learned bitwise the same (`compare`),
and one self-contained HTML page with its figures (`report`). Runs that differ by nothing but
their seed form a group (`groups`); `curves` makes bands of its seeds, `measures` their medians.

It only reads: no simulator, no learner, no Ray, nothing is written but the report. To add a
figure, copy a function of `bars` or `lines` and list it in `figures`; to add a section to the
page, copy a function of `sections` and list it in `report`.
"""
