defmodule Web.MixProject do
  use Mix.Project

  def project do
    [
      app: :web,
      version: "1.0.0",
      deps: [],
      start_permanent: Mix.env() == :prod,
      releases: [web: [include_executables_for: [:unix]]]
    ]
  end

  def application, do: [extra_applications: [:logger], mod: {Web, []}]
end
