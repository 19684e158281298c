package main

import (
	"strings"
	"testing"

	"github.com/waferkit/wafer/bench/internal/budget"
	"github.com/waferkit/wafer/bench/internal/results"
)

// exactly returns a run whose figures are the held ones, times a factor.
func exactly(factor func(budget.Row) float64) (set results.Set) {
	for _, row := range budget.Rows {
		set = append(set, results.Record{Kind: "benchmark", Name: row.Name, Values: map[string]float64{row.Unit: row.Held() * factor(row)}})
	}
	return set
}

func TestJudgePassesTheBudgetItself(t *testing.T) {
	report, err := judge(exactly(func(r budget.Row) float64 { return r.Limit / r.Held() }))
	if err != nil || strings.Count(report, " met\n") < 5 || strings.Contains(report, "not met") {
		t.Errorf("%v\n%s", err, report)
	}
}

// A row whose budget is not met is held at the reached figure, and never
// reported as met.
func TestJudgeSaysWhatIsNotMet(t *testing.T) {
	report, err := judge(exactly(func(budget.Row) float64 { return 1 }))
	if err != nil {
		t.Errorf("%v\n%s", err, report)
	}
	for _, row := range budget.Rows {
		if row.Reached != 0 && (row.Met(row.Reached) || !row.Guarded) {
			t.Errorf("%s is held at %v, and its budget is %v", row.Work, row.Reached, row.Limit)
		}
		if row.Reached != 0 && !strings.Contains(report, "not met; held at") {
			t.Errorf("the report does not say that %s is not met:\n%s", row.Work, report)
		}
	}
}

func TestJudgeForgivesNoiseAndSaysSo(t *testing.T) {
	report, err := judge(exactly(func(r budget.Row) float64 { return 1 + 0.9*r.Margin }))
	if err != nil || !strings.Contains(report, "within noise") && !strings.Contains(report, "not met") {
		t.Errorf("%v\n%s", err, report)
	}
}

// Each guarded row alone, slightly over its margin, fails the guard, and the
// error names it.
func TestJudgeFailsOnEachRow(t *testing.T) {
	guarded := 0
	for _, row := range budget.Rows {
		if !row.Guarded {
			continue
		}
		guarded++
		_, err := judge(exactly(func(r budget.Row) float64 {
			if r == row {
				return 1 + r.Margin + 0.01
			}
			return 1
		}))
		if err == nil || !strings.Contains(err.Error(), row.Work) || strings.Count(err.Error(), "\n") != 0 {
			t.Errorf("%s is over the budget by more than noise: %v", row.Work, err)
		}
	}
	if guarded < 6 {
		t.Errorf("%d rows are guarded", guarded)
	}
}

func TestJudgeFailsOnWhatWasNotMeasured(t *testing.T) {
	_, err := judge(exactly(func(budget.Row) float64 { return 1 })[1:])
	if err == nil {
		t.Error("the first row was not measured, and the guard is content")
	}
	if _, err := judge(nil); err == nil {
		t.Error("nothing was measured, and the guard is content")
	}
}

// An improved ratio is never a failure.
func TestJudgePassesWhatIsBetter(t *testing.T) {
	if report, err := judge(exactly(func(budget.Row) float64 { return 0.5 })); err != nil {
		t.Errorf("%v\n%s", err, report)
	}
}
