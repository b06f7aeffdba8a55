"""Writes linear_models.csv: coefficients and losses of sklearn's Ridge and LogisticRegression.

Run: python3 linear_models.py (needs numpy and scikit-learn). Each set of data is a block of lines:
`data,name,d,n,K`, `features` (sample by sample), `targets` (two a sample), `classes`, then for each
penalty a ridge and a logistic fit of four lines: `ridge,penalty` or `logistic,penalty`, `weights`
(row by row), `bias`, `loss` (mean over the same samples). Made with scikit-learn 1.2.1, where the
losses have gradients below 1e-9 (ridge) and 1e-7 (logistic), which is checked here.
"""
import pathlib
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss

random = np.random.default_rng(11)


def draw(d, n, K, noise):
    X = random.standard_normal((n, d))
    scores = X @ random.standard_normal((d, K)) + noise * random.standard_normal((n, K))
    return np.round(X, 3), scores


def made(name, X, scores):
    """Classes by the largest score, but the first samples so that each occurs."""
    K = scores.shape[1]
    classes = scores.argmax(axis=1)
    classes[:K] = np.arange(K)
    return name, X, np.round(scores[:, :2], 3), classes


def collinear(K):
    """A column twice, the sum of two, a constant one."""
    X, scores = draw(3, 36, K, 1.0)
    return np.column_stack([X, X[:, 0], np.round(X[:, 1] + X[:, 2], 3), np.full(36, 0.1)]), scores


def ridge(X, Y, penalty):
    fit = Ridge(alpha=penalty, solver="cholesky", tol=1e-14).fit(X, Y)
    residual = fit.predict(X) - Y
    gradient = residual.T @ X + penalty * fit.coef_
    assert np.linalg.norm(gradient) < 1e-9, np.linalg.norm(gradient)
    return fit.coef_, fit.intercept_, (residual**2).sum(axis=1).mean()


def logistic(X, classes, penalty):
    mean = X.mean(axis=0)
    X = X - mean  # changes the intercepts alone, and lets the solver get closer
    K = classes.max() + 1
    fit = LogisticRegression(C=1 / penalty, solver="newton-cg", tol=1e-13, max_iter=100000,
                             multi_class="multinomial" if K > 2 else "ovr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "line search failed": at the precision of double
        fit.fit(X, classes)
    p = fit.predict_proba(X)
    residual = p - np.eye(K)[classes]
    if K == 2:
        residual = residual[:, 1:]
    gradient = np.column_stack([residual.T @ X + penalty * fit.coef_, residual.sum(axis=0)])
    assert np.linalg.norm(gradient) < 1e-7, np.linalg.norm(gradient)
    return fit.coef_, fit.intercept_ - fit.coef_ @ mean, log_loss(classes, p)


shifted, scores = draw(4, 45, 3, 1.0)
data = [
    made("two classes", *draw(4, 40, 2, 1.0)),
    made("three classes", *draw(4, 50, 3, 1.0)),
    made("five classes", *draw(3, 60, 5, 0.5)),
    made("nearly separable", *draw(3, 40, 2, 0.0)),
    made("collinear, two classes", *collinear(2)),
    made("collinear, three classes", *collinear(3)),
    made("more features than samples", *draw(25, 12, 2, 1.0)),
    made("more features, three classes", *draw(25, 14, 3, 1.0)),
    made("far from zero", shifted * [1, 2, 0.5, 1] + [30, -20, 5, 100], scores),
]


def line(out, name, values):
    out.write(",".join([name, *(repr(v.item()) for v in np.asarray(values).ravel())]) + "\n")


with open(pathlib.Path(__file__).with_suffix(".csv"), "w") as out:
    for name, X, Y, classes in data:
        X = np.round(X, 4)
        out.write(f"data,{name.replace(',', '')},{X.shape[1]},{X.shape[0]},{classes.max() + 1}\n")
        line(out, "features", X)
        line(out, "targets", Y)
        line(out, "classes", classes)
        for penalty in [0.01, 1.0, 100.0]:
            for kind, fitted in [("ridge", ridge(X, Y, penalty)),
                                 ("logistic", logistic(X, classes, penalty))]:
                line(out, kind, penalty)
                for part, values in zip(["weights", "bias", "loss"], fitted):
                    line(out, part, values)
