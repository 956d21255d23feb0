#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.hpp"
#include "cli/evaluating.hpp"
#include "cli/print_json.hpp"

namespace rulegrad::cli {

void add_evaluate(CLI::App& app, Run& run) {
  auto options = std::make_shared<EvaluateOptions>();
  CLI::App* command = app.add_subcommand("evaluate",
                                         "Measure how good explanations are: what is called relevant is "
                                         "taken away, and more; `random` is the floor");
  add_model_options(*command, options->model);
  add_input_options(*command, options->input);
  command
      ->add_option("--labels", options->labels,
                   "The classes whose scores are explained and followed, an integer a sample\n(default: the "
                   "model's own answers)")
      ->type_name("FILE.npy");
  command
      ->add_option("--method,-m", options->methods,
                   "A method, as name or name:key=value,key=value; may be given several times")
      ->required()
      ->type_name("NAME");
  command
      ->add_option("--region-size", options->region_size,
                   "Side of the regions in pixels or features (default: a fourteenth of a picture's longer "
                   "side;\n1 for features)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--fill", options->fill,
                   "What replaces regions: a number (default 0), mean, blur, blur:WIDTH, uniform (noise over "
                   "the\nrange of the samples) or uniform:LOW,HIGH")
      ->type_name("FILL");
  command
      ->add_option("--insertion-into", options->start,
                   "What insertion starts from, as --fill (default: blur for pictures, --fill for features)")
      ->type_name("FILL");
  command
      ->add_option("--steps", options->steps,
                   "How often the score is asked for on the way (default: once a region, at most 32)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--until", options->until,
                   "The fraction of the regions that is replaced in the end (default 1)")
      ->type_name("FRACTION");
  command
      ->add_option("--score", options->score,
                   "The score that is followed: the probability of the label (default where a softmax or "
                   "sigmoid ends the output;\nof other scores it is their softmax), or its logit")
      ->type_name("probability|logit");
  command
      ->add_option("--random-orders", options->orders,
                   "How many random maps the floor is the mean of (default 5)")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  command
      ->add_option("--baseline", options->baseline,
                   "The input against which completeness is measured, a number everywhere (default 0)")
      ->type_name("VALUE");
  command
      ->add_option("--sensitivity", options->sensitivity,
                   "Estimate max-sensitivity from so many moved inputs a sample")
      ->type_name("DRAWS")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--radius", options->radius,
                   "How far each element is moved at most (default: a fiftieth of the samples' range)")
      ->type_name("R")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--randomisation", options->randomisation,
                   "Randomise layers from the output down, cascading or one at a time, and tell how far "
                   "the\nexplanations stay the same; may be given twice")
      ->type_name("cascading|independent");
  command
      ->add_option("--mask", options->mask,
                   "What is truly relevant (not 0), for one sample or all: report precision against it")
      ->type_name("FILE.npy");
  command->add_option("--key", options->key, "Of the random numbers (default 0)")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  add_method_options(*command, options->question);
  command->add_option("--plot", options->plot, "Draw the curves")->type_name("FILE.png");
  command->add_option("--csv", options->csv, "Write curves and measures as method,measure,at,value")
      ->type_name("FILE.csv");
  add_json_option(*command, options->json);
  add_run_choices(*command, options->run);
  command->callback([options, &run] { run = [options] { evaluate(*options); }; });
}

}  // namespace rulegrad::cli
