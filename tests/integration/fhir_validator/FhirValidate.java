// Validates FHIR R4 resources by HAPI: java -cp 'JARS/*' FhirValidate.java FOLDER
// Reads FOLDER/*.json and prints one line of JSON an issue: file, severity, location, id, message. Uses no network.

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.SingleValidationMessage;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;

class FhirValidate {
  public static void main(String[] arguments) throws Exception {
    FhirContext context = FhirContext.forR4();
    FhirInstanceValidator instances =
        new FhirInstanceValidator(
            new ValidationSupportChain(
                new DefaultProfileValidationSupport(context),
                new CommonCodeSystemsTerminologyService(context),
                new InMemoryTerminologyServerValidationSupport(context)));
    // A profile that a resource claims and that is not known would else be passed over.
    instances.setErrorForUnknownProfiles(true);
    FhirValidator validator = context.newValidator().registerValidatorModule(instances);
    ObjectMapper json = new ObjectMapper();
    List<Path> files;
    try (Stream<Path> found = Files.list(Path.of(arguments[0]))) {
      files = found.filter(path -> path.toString().endsWith(".json")).sorted().toList();
    }
    for (Path file : files) {
      for (SingleValidationMessage message :
          validator.validateWithResult(Files.readString(file)).getMessages()) {
        Map<String, String> issue = new LinkedHashMap<>();
        issue.put("file", file.getFileName().toString());
        issue.put("severity", message.getSeverity().getCode());
        issue.put("location", message.getLocationString());
        issue.put("id", message.getMessageId());
        issue.put("message", message.getMessage());
        System.out.println(json.writeValueAsString(issue));
      }
    }
    System.out.println(json.writeValueAsString(Map.of("validated", files.size())));
  }
}
